/* The search kernels in plain C: the truth that the others are held against. */
#include "compute/kernels_scan.h"

static void dots(int32_t *sums, const uint8_t *rows, size_t width, size_t count,
                 const int8_t *query)
{
    for (size_t i = 0; i < count; i++, rows += width) {
        int32_t sum = 0;
        for (size_t j = 0; j < width; j++)
            sum += (int32_t)rows[j] * query[j];
        sums[i] = sum;
    }
}

static size_t pick(uint32_t *out, float *values, const int32_t *sums, const float *scale,
                   const float *slack, const pph_scan_bounds *bounds, float threshold, size_t count)
{
    size_t picked = 0;
    for (size_t i = 0; i < count; i++) {
        float value = (float)(sums[i] - bounds->offset) * scale[i] * bounds->factor;
        if (value + slack[i] * bounds->growth + bounds->spread >= threshold) {
            out[picked] = (uint32_t)i;
            values[picked++] = value;
        }
    }
    return picked;
}

void pph_scan_fill_c(pph_scan_kernels *table)
{
    table->name = "c";
    table->dots = dots;
    table->pick = pick;
}
