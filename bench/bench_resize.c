/* How long a picture takes: decoding, resizing to 224 pixels, and the way to floats, on one thread.
 *
 *   bench_resize FILE [REPEATS]
 *
 * Prints medians in milliseconds, one per line; peer_resize.py prints the same for Pillow. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "compute/kernels.h"
#include "image/recipe.h"
#include <stdio.h>
#include <stdlib.h>

enum { REPEATS_MAX = 1000 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double *times, int count)
{
    qsort(times, (size_t)count, sizeof *times, by_size);
    printf("%-8s %8.2f ms\n", what, times[count / 2]);
}

static double since(pph_nanos start)
{
    return (double)(pph_clock_now() - start) / 1e6;
}

int main(int argc, char **argv)
{
    int repeats = argc > 2 ? atoi(argv[2]) : 11;
    if (argc < 2 || repeats < 1 || repeats > REPEATS_MAX) {
        fprintf(stderr, "usage: bench_resize FILE [REPEATS]\n");
        return 2;
    }
    static double decode[REPEATS_MAX], resize[REPEATS_MAX], recipe[REPEATS_MAX];
    static float floats[3 * 224 * 224];
    pph_recipe clip = pph_recipe_default_clip(224);
    pph_error err = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    if (pph_file_read(argv[1], &bytes, &err) != PPH_OK)
        goto failed;
    for (int i = 0; i < repeats; i++) {
        PPH_AUTO(pph_image_deinit) pph_image image = {0}, small = {0};
        pph_nanos start = pph_clock_now();
        if (pph_image_decode(&image, bytes.data, bytes.size, NULL, &err) != PPH_OK)
            goto failed;
        decode[i] = since(start);
        bool tall = image.height > image.width;
        uint32_t width = tall ? 224 : (uint32_t)(224ull * image.width / image.height);
        uint32_t height = tall ? (uint32_t)(224ull * image.height / image.width) : 224;
        start = pph_clock_now();
        if (pph_resample(&small, &image, width, height, PPH_FILTER_BICUBIC, &err) != PPH_OK)
            goto failed;
        resize[i] = since(start);
        start = pph_clock_now();
        if (pph_recipe_apply(&clip, &image, floats, &err) != PPH_OK)
            goto failed;
        recipe[i] = since(start);
    }
    printf("kernels  %s\n", pph_kernels_get()->pixels.name);
    report("decode", decode, repeats);
    report("resize", resize, repeats);
    report("recipe", recipe, repeats);
    return 0;
failed:
    fprintf(stderr, "bench_resize: %s\n", err.message);
    return 1;
}
