/* Applying a recipe: sizes, the order of steps, and the last step to floats. Reading one is
 * recipe_json.c.
 *
 * The whole resized picture is never made where a crop follows: only what the crop keeps. A border
 * of padding is never stored. No state. */
#include "image/recipe.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include <math.h>
#include <string.h>

pph_recipe pph_recipe_default_clip(uint32_t size)
{
    return (pph_recipe){
        .resize = PPH_RECIPE_SHORTEST_EDGE,
        .shortest = size,
        .filter = PPH_FILTER_BICUBIC,
        .crop = true,
        .crop_width = size,
        .crop_height = size,
        .rescale = true,
        .rescale_factor = 1.0 / 255,
        .normalise = true,
        .mean = {0.48145466f, 0.4578275f, 0.40821073f},
        .std = {0.26862954f, 0.26130258f, 0.27577711f},
    };
}

/* Sizes along the way. */
typedef struct plan {
    uint32_t canvas_width, canvas_height;   /* after padding to a square */
    uint64_t resized_width, resized_height; /* after resizing */
    uint32_t width, height;                 /* after the crop */
    uint32_t out_width, out_height;         /* after padding to a size */
} plan;

/* floor(a * b / c) without overflow for what occurs here: edges below 2^17. */
static uint64_t share(uint64_t a, uint64_t b, uint64_t c)
{
    return a * b / c;
}

/* The size that fits into longest, when the shortest edge would lead past it. The intermediate
 * quantities are doubles and rounded half to even, as Python does. */
static void shortest_up_to(const pph_recipe *r, plan *p)
{
    double w = p->canvas_width, h = p->canvas_height;
    double low = fmin(w, h), high = fmax(w, h), size = r->shortest, raw = r->shortest;
    if (high / low * size > r->longest) {
        raw = r->longest * low / high;
        size = nearbyint(raw);
    }
    if (low == size) {
        p->resized_width = p->canvas_width;
        p->resized_height = p->canvas_height;
        return;
    }
    if (w < h) {
        p->resized_width = (uint64_t)size;
        p->resized_height = (uint64_t)(raw * h / w);
    } else {
        p->resized_width = (uint64_t)(raw * w / h);
        p->resized_height = (uint64_t)size;
    }
}

static void plan_resize(const pph_recipe *r, plan *p)
{
    uint64_t w = p->canvas_width, h = p->canvas_height;
    switch (r->resize) {
    case PPH_RECIPE_KEEP:
        p->resized_width = w;
        p->resized_height = h;
        return;
    case PPH_RECIPE_EXACT:
        p->resized_width = r->width;
        p->resized_height = r->height;
        return;
    case PPH_RECIPE_SHORTEST_EDGE:
        p->resized_width = w <= h ? r->shortest : share(r->shortest, w, h);
        p->resized_height = w <= h ? share(r->shortest, h, w) : r->shortest;
        return;
    case PPH_RECIPE_SHORTEST_UP_TO:
        shortest_up_to(r, p);
        break;
    case PPH_RECIPE_LONGEST_EDGE:
        p->resized_width = w >= h ? r->longest : share(r->longest, w, h);
        p->resized_height = w >= h ? share(r->longest, h, w) : r->longest;
        break;
    case PPH_RECIPE_FIT: {
        double scale = fmin((double)r->height / (double)h, (double)r->width / (double)w);
        p->resized_width = (uint64_t)((double)w * scale);
        p->resized_height = (uint64_t)((double)h * scale);
        break;
    }
    }
    /* A very long picture keeps at least a line. */
    p->resized_width = PPH_MAX(p->resized_width, 1u);
    p->resized_height = PPH_MAX(p->resized_height, 1u);
}

static pph_status make_plan(const pph_recipe *r, uint32_t picture_width, uint32_t picture_height,
                            plan *out, pph_error *err)
{
    if (!picture_width || !picture_height || picture_width > PPH_IMAGE_EDGE_MAX ||
        picture_height > PPH_IMAGE_EDGE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a picture of %ux%u cannot be prepared: edges are 1 to %d pixels",
                        picture_width, picture_height, PPH_IMAGE_EDGE_MAX);
    plan p = {.canvas_width = picture_width, .canvas_height = picture_height};
    if (r->pad_square)
        p.canvas_width = p.canvas_height = PPH_MAX(picture_width, picture_height);
    plan_resize(r, &p);
    uint64_t width = r->crop ? r->crop_width : p.resized_width;
    uint64_t height = r->crop ? r->crop_height : p.resized_height;
    uint64_t out_width = r->pad_size ? r->pad_width : width;
    uint64_t out_height = r->pad_size ? r->pad_height : height;
    if (width > out_width || height > out_height)
        return PPH_FAIL(
            err, PPH_TOO_LARGE,
            "a picture of %ux%u becomes %llux%llu, larger than the %llux%llu that it is "
            "to be padded to: the preprocessor_config.json contradicts itself",
            picture_width, picture_height, (unsigned long long)width, (unsigned long long)height,
            (unsigned long long)out_width, (unsigned long long)out_height);
    if (out_width > PPH_RECIPE_EDGE_MAX || out_height > PPH_RECIPE_EDGE_MAX)
        return PPH_FAIL(
            err, PPH_TOO_LARGE,
            "a picture of %ux%u would become %llux%llu for the model, and edges may be up "
            "to %d: make it smaller or less elongated",
            picture_width, picture_height, (unsigned long long)out_width,
            (unsigned long long)out_height, PPH_RECIPE_EDGE_MAX);
    p.width = (uint32_t)width;
    p.height = (uint32_t)height;
    p.out_width = (uint32_t)out_width;
    p.out_height = (uint32_t)out_height;
    *out = p;
    return PPH_OK;
}

bool pph_recipe_fixed_size(const pph_recipe *r, uint32_t *width, uint32_t *height)
{
    if (r->pad_size) {
        *width = r->pad_width;
        *height = r->pad_height;
        return true;
    }
    if (r->crop) {
        *width = r->crop_width;
        *height = r->crop_height;
        return true;
    }
    if (r->resize == PPH_RECIPE_EXACT) {
        *width = r->width;
        *height = r->height;
        return true;
    }
    if (r->pad_square && r->resize != PPH_RECIPE_KEEP) {
        /* Every picture is a square by then, and every square has the same fate. */
        plan p = {.canvas_width = PPH_RECIPE_EDGE_MAX, .canvas_height = PPH_RECIPE_EDGE_MAX};
        plan_resize(r, &p);
        *width = (uint32_t)p.resized_width;
        *height = (uint32_t)p.resized_height;
        return true;
    }
    return false;
}

pph_status pph_recipe_size(const pph_recipe *r, uint32_t picture_width, uint32_t picture_height,
                           uint32_t *width, uint32_t *height, pph_error *err)
{
    plan p;
    PPH_TRY(make_plan(r, picture_width, picture_height, &p, err));
    *width = p.out_width;
    *height = p.out_height;
    return PPH_OK;
}

/* One axis of a centred crop: what is kept of `length`, and where it lies among `wanted`. */
static void centre(uint64_t length, uint32_t wanted, uint32_t *from, uint32_t *kept, uint32_t *at)
{
    if (wanted <= length) {
        *from = (uint32_t)((length - wanted) / 2);
        *kept = wanted;
        *at = 0;
    } else {
        *from = 0;
        *kept = (uint32_t)length;
        *at = (uint32_t)((wanted - length + 1) / 2);
    }
}

static pph_status make_pixels(const pph_recipe *r, const plan *p, const pph_image *image,
                              pph_image *out, pph_error *err)
{
    pph_canvas canvas = pph_canvas_of(image);
    if (r->pad_square) {
        canvas.width = p->canvas_width;
        canvas.height = p->canvas_height;
        canvas.left = (canvas.width - image->width) / 2;
        canvas.top = (canvas.height - image->height) / 2;
        memcpy(canvas.background, r->pad_background, sizeof canvas.background);
    }
    pph_region region;
    uint32_t left, top;
    centre(p->resized_width, p->width, &region.left, &region.width, &left);
    centre(p->resized_height, p->height, &region.top, &region.height, &top);
    PPH_AUTO(pph_image_deinit) pph_image resized = {0};
    PPH_TRY(pph_resample_region(&resized, &canvas, (uint32_t)p->resized_width,
                                (uint32_t)p->resized_height, region, r->filter, err));
    if (region.width != p->width || region.height != p->height) {
        pph_image framed = {0};
        PPH_TRY(pph_image_new(&framed, p->width, p->height, err));
        size_t stride = (size_t)p->width * 3, bytes = (size_t)resized.width * 3;
        memset(framed.rgb, 0, stride * p->height);
        for (size_t y = 0; y < resized.height; y++)
            memcpy(framed.rgb + (top + y) * stride + (size_t)left * 3, resized.rgb + y * bytes,
                   bytes);
        pph_image_deinit(&resized);
        resized = framed;
    }
    *out = resized;
    resized = (pph_image){0};
    return PPH_OK;
}

/* All 256 values of each channel, rounded as the reference rounds them: the product in double, and
 * then to float; difference and quotient in float. */
static void make_table(const pph_recipe *r, float table[3][256])
{
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            float value = r->rescale ? (float)(v * r->rescale_factor) : (float)v;
            table[c][v] = r->normalise ? (value - r->mean[c]) / r->std[c] : value;
        }
}

pph_status pph_recipe_pixels(const pph_recipe *r, const pph_image *image, pph_image *out,
                             pph_error *err)
{
    plan p;
    PPH_TRY(make_plan(r, image->width, image->height, &p, err));
    return make_pixels(r, &p, image, out, err);
}

pph_status pph_recipe_apply(const pph_recipe *r, const pph_image *image, float *out, pph_error *err)
{
    plan p;
    PPH_TRY(make_plan(r, image->width, image->height, &p, err));
    PPH_AUTO(pph_image_deinit) pph_image pixels = {0};
    PPH_TRY(make_pixels(r, &p, image, &pixels, err));
    float table[3][256];
    make_table(r, table);
    size_t plane = (size_t)p.out_width * p.out_height;
    const pph_pixel_kernels *kernels = &pph_kernels_get()->pixels;
    if (p.out_width == p.width && p.out_height == p.height) {
        kernels->planes(out, plane, pixels.rgb, plane, table);
        return PPH_OK;
    }
    memset(out, 0, 3 * plane * sizeof *out);
    for (size_t y = 0; y < p.height; y++)
        kernels->planes(out + y * p.out_width, plane, pixels.rgb + y * p.width * 3, p.width, table);
    return PPH_OK;
}
