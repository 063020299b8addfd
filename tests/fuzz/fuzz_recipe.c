/* Any bytes as a preprocessor_config.json: an error, or a recipe that keeps the sizes it promises.
 */
#include "base/mem.h"
#include "image/recipe.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void prepare(const pph_recipe *recipe, uint32_t width, uint32_t height)
{
    uint32_t out_width, out_height, fixed_width, fixed_height;
    if (pph_recipe_size(recipe, width, height, &out_width, &out_height, NULL) != PPH_OK)
        return;
    if (pph_recipe_fixed_size(recipe, &fixed_width, &fixed_height) &&
        (fixed_width != out_width || fixed_height != out_height))
        abort();
    size_t count = (size_t)out_width * out_height * 3;
    pph_image image = {0};
    /* Large results are well-defined but slow. */
    if (count > 1 << 18 || pph_image_new(&image, width, height, NULL) != PPH_OK)
        return;
    memset(image.rgb, 77, (size_t)width * height * 3);
    float *out = pph_alloc_array(count, sizeof *out);
    if (out && pph_recipe_apply(recipe, &image, out, NULL) != PPH_OK)
        abort();
    pph_free(out);
    pph_image_deinit(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pph_recipe recipe;
    pph_error err = {0};
    if (pph_recipe_parse(&recipe, bytes, size, "fuzz", &err) != PPH_OK) {
        if (!err.message[0])
            abort();
        return 0;
    }
    prepare(&recipe, 1, 1);
    prepare(&recipe, 40, 23);
    prepare(&recipe, 3, 500);
    prepare(&recipe, 65535, 1);
    return 0;
}
