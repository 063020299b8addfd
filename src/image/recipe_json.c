/* Reading a recipe: what a preprocessor_config.json may say, in the forms that real folders have.
 *
 * Sizes are plain integers, pairs or objects; steps that are left out, or null, are those of the
 * processor that the file names. Values out of range are refused with the key's name. No state. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/recipe.h"
#include <inttypes.h>
#include <math.h>

enum { FILE_MAX = 1 << 20 };

/* Processors whose defaults differ from CLIP's; the beginning of image_processor_type,
 * feature_extractor_type or processor_class. */
typedef enum family { FAMILY_CLIP, FAMILY_LLAVA, FAMILY_SIGLIP, FAMILY_VIT } family;

static family family_of(const pph_json *root)
{
    static const char *const keys[] = {"image_processor_type", "feature_extractor_type",
                                       "processor_class"};
    static const struct {
        const char *name;
        family is;
    } names[] = {{"Siglip", FAMILY_SIGLIP},
                 {"Llava", FAMILY_LLAVA},
                 {"ViT", FAMILY_VIT},
                 {"CLIP", FAMILY_CLIP},
                 {"ChineseCLIP", FAMILY_CLIP}};
    /* The first to name one decides: LLaVA's processor_class may stand beside CLIP's type. */
    for (size_t k = 0; k < PPH_COUNT(keys); k++) {
        pph_str text = pph_json_string(pph_json_get(root, keys[k]));
        for (size_t i = 0; i < PPH_COUNT(names); i++)
            if (pph_str_starts(text, names[i].name))
                return names[i].is;
    }
    return FAMILY_CLIP;
}

static pph_recipe defaults_of(family is)
{
    pph_recipe r = pph_recipe_default_clip(224);
    if (is != FAMILY_SIGLIP && is != FAMILY_VIT)
        return r;
    r.resize = PPH_RECIPE_EXACT;
    r.width = r.height = 224;
    r.crop = false;
    r.filter = is == FAMILY_VIT ? PPH_FILTER_BILINEAR : PPH_FILTER_BICUBIC;
    for (int c = 0; c < 3; c++)
        r.mean[c] = r.std[c] = 0.5f;
    return r;
}

static pph_status read_edge(const pph_json *value, const char *key, uint32_t *out, pph_error *err)
{
    double number = pph_json_is_number(value) ? pph_json_number(value) : -1;
    if (!(number >= 1 && number <= PPH_RECIPE_EDGE_MAX) || number != floor(number))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' must be a whole number of pixels, 1 to %d", key,
                        PPH_RECIPE_EDGE_MAX);
    *out = (uint32_t)number;
    return PPH_OK;
}

/* Height and width: one integer for both, a pair, or an object. */
static pph_status read_pair(const pph_json *value, const char *key, uint32_t *width,
                            uint32_t *height, pph_error *err)
{
    const pph_json *w = value, *h = value;
    if (pph_json_is_array(value)) {
        if (pph_json_size(value) != 2)
            return PPH_FAIL(err, PPH_CORRUPT, "'%s' must have two numbers, height and width", key);
        h = pph_json_at(value, 0);
        w = pph_json_at(value, 1);
    } else if (pph_json_is_object(value)) {
        const pph_json *square = pph_json_get(value, "shortest_edge");
        bool lone = !pph_json_is_null(square) && pph_json_size(value) == 1;
        h = lone ? square : pph_json_get(value, "height");
        w = lone ? square : pph_json_get(value, "width");
    }
    PPH_TRY(read_edge(h, key, height, err));
    return read_edge(w, key, width, err);
}

static pph_status read_size_object(const pph_json *size, pph_recipe *r, pph_error *err)
{
    const pph_json *shortest = pph_json_get(size, "shortest_edge");
    const pph_json *longest = pph_json_get(size, "longest_edge");
    const pph_json *height = pph_json_get(size, "height"), *width = pph_json_get(size, "width");
    if (pph_json_is_null(height) && pph_json_is_null(width) &&
        !pph_json_is_null(pph_json_get(size, "max_height"))) {
        PPH_TRY(read_edge(pph_json_get(size, "max_height"), "size.max_height", &r->height, err));
        PPH_TRY(read_edge(pph_json_get(size, "max_width"), "size.max_width", &r->width, err));
        r->resize = PPH_RECIPE_FIT;
        return PPH_OK;
    }
    if (!pph_json_is_null(shortest)) {
        PPH_TRY(read_edge(shortest, "size.shortest_edge", &r->shortest, err));
        r->resize = PPH_RECIPE_SHORTEST_EDGE;
    }
    if (!pph_json_is_null(longest)) {
        PPH_TRY(read_edge(longest, "size.longest_edge", &r->longest, err));
        r->resize =
            pph_json_is_null(shortest) ? PPH_RECIPE_LONGEST_EDGE : PPH_RECIPE_SHORTEST_UP_TO;
    }
    if (!pph_json_is_null(shortest) || !pph_json_is_null(longest))
        return PPH_OK;
    if (pph_json_is_null(height) || pph_json_is_null(width))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "'size' must say height and width, shortest_edge, longest_edge, or "
                        "max_height and max_width");
    r->resize = PPH_RECIPE_EXACT;
    PPH_TRY(read_edge(height, "size.height", &r->height, err));
    return read_edge(width, "size.width", &r->width, err);
}

static pph_status read_resize(const pph_json *root, family is, pph_recipe *r, pph_error *err)
{
    bool wanted;
    PPH_TRY(pph_json_get_bool(root, "do_resize", true, &wanted, err));
    int64_t filter;
    PPH_TRY(pph_json_get_integer(root, "resample", 0, INT32_MAX, r->filter, &filter, err));
    if (filter >= PPH_FILTER_COUNT)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "'resample' is %" PRId64 ", which is no filter: 0 is nearest, 1 Lanczos, 2 "
                        "bilinear, 3 bicubic, 4 box, 5 Hamming",
                        filter);
    r->filter = (pph_filter)filter;

    const pph_json *size = pph_json_get(root, "size");
    if (pph_json_is_object(size)) {
        PPH_TRY(read_size_object(size, r, err));
    } else if (pph_json_is_number(size) && is != FAMILY_VIT) {
        PPH_TRY(read_edge(size, "size", &r->shortest, err));
        r->resize = PPH_RECIPE_SHORTEST_EDGE;
    } else if (!pph_json_is_null(size)) {
        PPH_TRY(read_pair(size, "size", &r->width, &r->height, err));
        r->resize = PPH_RECIPE_EXACT;
    }
    if (!wanted)
        r->resize = PPH_RECIPE_KEEP;
    return PPH_OK;
}

static pph_status read_crop(const pph_json *root, pph_recipe *r, pph_error *err)
{
    PPH_TRY(pph_json_get_bool(root, "do_center_crop", r->crop, &r->crop, err));
    const pph_json *size = pph_json_get(root, "crop_size");
    if (r->crop && !pph_json_is_null(size))
        PPH_TRY(read_pair(size, "crop_size", &r->crop_width, &r->crop_height, err));
    return PPH_OK;
}

/* Three numbers, or one for all channels. */
static pph_status read_channels(const pph_json *root, const char *key, float out[3], pph_error *err)
{
    const pph_json *value = pph_json_get(root, key);
    if (pph_json_is_null(value))
        return PPH_OK;
    bool one = pph_json_is_number(value);
    if (!one && !(pph_json_is_array(value) && pph_json_size(value) == 3))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' must be a number or three, for red, green and blue",
                        key);
    for (size_t c = 0; c < 3; c++) {
        const pph_json *number = one ? value : pph_json_at(value, c);
        float read = (float)pph_json_number(number);
        if (!pph_json_is_number(number) || !isfinite(read))
            return PPH_FAIL(err, PPH_CORRUPT,
                            "'%s' must be a number or three, for red, green and "
                            "blue",
                            key);
        out[c] = read;
    }
    return PPH_OK;
}

static pph_status read_numbers(const pph_json *root, pph_recipe *r, pph_error *err)
{
    PPH_TRY(pph_json_get_bool(root, "do_rescale", true, &r->rescale, err));
    PPH_TRY(
        pph_json_get_number(root, "rescale_factor", r->rescale_factor, &r->rescale_factor, err));
    if (!isfinite(r->rescale_factor) || fabs(r->rescale_factor) > 1e6)
        return PPH_FAIL(err, PPH_CORRUPT, "'rescale_factor' must lie between -1e6 and 1e6");
    PPH_TRY(pph_json_get_bool(root, "do_normalize", true, &r->normalise, err));
    PPH_TRY(read_channels(root, "image_mean", r->mean, err));
    PPH_TRY(read_channels(root, "image_std", r->std, err));
    for (int c = 0; c < 3; c++)
        if (fabsf(r->std[c]) < 1e-9f || fabsf(r->std[c]) > 1e9f || fabsf(r->mean[c]) > 1e9f)
            return PPH_FAIL(err, PPH_CORRUPT,
                            "'image_mean' and 'image_std' are out of range: deviations may not be "
                            "zero, and nothing past 1e9");
    return PPH_OK;
}

/* LLaVA pads to a square of the mean colour before resizing; others pad to a size, at the end. */
static pph_status read_padding(const pph_json *root, family is, pph_recipe *r, pph_error *err)
{
    bool wanted;
    PPH_TRY(pph_json_get_bool(root, "do_pad", false, &wanted, err));
    pph_str aspect = pph_json_string(pph_json_get(root, "image_aspect_ratio"));
    r->pad_square = (wanted && is == FAMILY_LLAVA) || pph_str_equal(aspect, PPH_STR("pad"));
    if (r->pad_square) {
        for (int c = 0; c < 3; c++) {
            double shade = trunc((double)r->mean[c] * 255);
            r->pad_background[c] = (uint8_t)fmin(fmax(shade, 0), 255);
        }
        return PPH_OK;
    }
    const pph_json *size = pph_json_get(root, "pad_size");
    r->pad_size = wanted && !pph_json_is_null(size);
    return r->pad_size ? read_pair(size, "pad_size", &r->pad_width, &r->pad_height, err) : PPH_OK;
}

static pph_status read_all(const pph_json *root, pph_recipe *out, pph_error *err)
{
    if (!pph_json_is_object(root))
        return PPH_FAIL(err, PPH_CORRUPT, "it must be one JSON object");
    family is = family_of(root);
    pph_recipe r = defaults_of(is);
    PPH_TRY(read_resize(root, is, &r, err));
    PPH_TRY(read_crop(root, &r, err));
    PPH_TRY(read_numbers(root, &r, err));
    PPH_TRY(read_padding(root, is, &r, err));
    *out = r;
    return PPH_OK;
}

pph_status pph_recipe_parse(pph_recipe *out, const void *json, size_t size, const char *name,
                            pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_TRY(pph_json_parse(&root, json, size, name, err));
    pph_status status = read_all(root, out, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, name);
}

pph_status pph_recipe_load(pph_recipe *out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(FILE_MAX);
    PPH_TRY(pph_file_read(path, &text, err));
    return pph_recipe_parse(out, text.data, text.size, path, err);
}
