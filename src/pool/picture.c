/* Pictures of answers: their copies, and their pixels. */
#include "pool/picture.h"

#include "base/mem.h"
#include "base/spare.h"
#include "base/str.h"
#include "image/image.h"
#include <strings.h>

pph_status pph_picture_init(pph_picture *out, const pph_input *input, pph_error *err)
{
    *out = (pph_picture){.kind = input->kind, .size = input->size};
    out->data = pph_str_copy((pph_str){input->data, input->size});
    if (!out->data)
        return PPH_FAIL_MEMORY(err, input->size + 1);
    bool is_data = input->size >= 5 && strncasecmp(out->data, "data:", 5) == 0;
    if (input->kind == PPH_INPUT_IMAGE_URL && is_data)
        out->kind = PPH_INPUT_IMAGE_BASE64;
    return PPH_OK;
}

void pph_picture_prepared(pph_picture *picture)
{
    pph_free(PPH_TAKE(picture->data));
}

void pph_picture_deinit(pph_picture *picture)
{
    pph_picture_prepared(picture);
    pph_future_free(&picture->fetch);
    pph_spare_give(PPH_TAKE(picture->pixels));
    pph_picture_rows_unref(&picture->rows);
}

pph_status pph_picture_pixels(const pph_recipe *recipe, pph_str bytes, size_t max_pixels,
                              size_t floats, float **out, pph_error *err)
{
    pph_image_options options = pph_image_options_defaults();
    options.max_pixels = max_pixels;
    PPH_AUTO(pph_image_deinit) pph_image image = {0};
    PPH_TRY(pph_image_decode(&image, bytes.data, bytes.size, &options, err));
    size_t size;
    PPH_AUTO(pph_spare_give_at)
    float *pixels = pph_mul_size(floats, sizeof *pixels, &size) ? pph_spare_take(size) : NULL;
    if (!pixels)
        return PPH_FAIL_MEMORY(err, floats * sizeof *pixels);
    PPH_TRY(pph_recipe_apply(recipe, &image, pixels, err));
    *out = PPH_TAKE(pixels);
    return PPH_OK;
}
