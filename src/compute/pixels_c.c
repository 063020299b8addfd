/* The plain kernels on pixels: what the others are held against. A pure function each. */
#include "compute/kernels_pixels.h"

enum { HALF = 1 << (PPH_PIXELS_SHIFT - 1) };

static uint8_t clip(int32_t sum)
{
    int32_t value = sum >> PPH_PIXELS_SHIFT;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* The plain form of weights is the one that they come in. */
static void pack(int32_t *weights, size_t groups)
{
    (void)weights;
    (void)groups;
}

static void across(uint8_t *out, size_t out_stride, const uint8_t *in, size_t in_stride,
                   size_t rows, const pph_pixel_span *spans, const int32_t *weights,
                   size_t group_stride, size_t width)
{
    for (size_t y = 0; y < rows; y++) {
        const uint8_t *row = in + y * in_stride;
        for (size_t x = 0; x < width; x++) {
            const uint8_t *pixel = row + (size_t)spans[x].first * 3;
            const int32_t *w = weights + x * group_stride * 4;
            int32_t r = HALF, g = HALF, b = HALF;
            for (size_t k = 0; k < (size_t)spans[x].groups * 4; k++, pixel += 3) {
                r += w[k] * pixel[0];
                g += w[k] * pixel[1];
                b += w[k] * pixel[2];
            }
            out[y * out_stride + x * 3] = clip(r);
            out[y * out_stride + x * 3 + 1] = clip(g);
            out[y * out_stride + x * 3 + 2] = clip(b);
        }
    }
}

static void down(uint8_t *out, const uint8_t *in, size_t stride, size_t taps,
                 const int32_t *weights, size_t bytes)
{
    /* A strip of sums at a time, so that the source rows are read along and the sums stay near. */
    enum { STRIP = 256 };
    int32_t sums[STRIP];
    for (size_t from = 0; from < bytes; from += STRIP) {
        size_t count = bytes - from < STRIP ? bytes - from : STRIP;
        for (size_t i = 0; i < count; i++)
            sums[i] = HALF;
        for (size_t k = 0; k < taps; k++)
            for (size_t i = 0; i < count; i++)
                sums[i] += weights[k] * in[k * stride + from + i];
        for (size_t i = 0; i < count; i++)
            out[from + i] = clip(sums[i]);
    }
}

static void planes(float *out, size_t plane, const uint8_t *rgb, size_t count,
                   const float table[3][256])
{
    float *r = out, *g = out + plane, *b = out + 2 * plane;
    for (size_t i = 0; i < count; i++) {
        r[i] = table[0][rgb[3 * i]];
        g[i] = table[1][rgb[3 * i + 1]];
        b[i] = table[2][rgb[3 * i + 2]];
    }
}

void pph_pixels_fill_c(pph_pixel_kernels *table)
{
    table->name = "c";
    table->pack = pack;
    table->across = across;
    table->down = down;
    table->planes = planes;
}
