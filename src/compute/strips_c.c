/* Block-quantised products in plain C: what every other form is held against. Pure functions. */
#include "compute/kernels_strips.h"

#include <math.h>
#include <string.h>

static inline void widen(float out[PPH_STRIP], const uint8_t *halves)
{
    for (int j = 0; j < PPH_STRIP; j++)
        out[j] = pph_f16_to_f32((pph_f16)(halves[2 * j] | halves[2 * j + 1] << 8));
}

static const uint8_t raise = 0;

#include "compute/strips_unpack.h"

static int weight(const pph_strip_product *p, const pph_strip_tile *tile, size_t k, size_t j)
{
    uint8_t byte = tile->quant[k / 4 * UNIT + j * 4 + k % 4];
    return p->negative ? (int8_t)byte : byte;
}

static void multiply(const pph_strip_product *p)
{
    for (size_t j = 0; j < (size_t)PPH_STRIP_PAIR * PPH_STRIP; j++)
        for (size_t r = 0; r < p->rows; r++) {
            const pph_strip_tile *tile = p->tiles + j / PPH_STRIP;
            float *c = p->c + r * PPH_STRIP_PAIR * PPH_STRIP + j;
            for (size_t g = 0; g < p->elements / p->group; g++) {
                int32_t sum = p->start[g * p->rows + r];
                for (size_t k = g * p->group; k < (g + 1) * p->group; k++)
                    sum +=
                        weight(p, tile, k, j % PPH_STRIP) * p->x[(k / 4 * p->rows + r) * 4 + k % 4];
                *c += (float)sum * tile->factor[g][j % PPH_STRIP] *
                      p->scale[g * p->group / 32 * p->rows + r];
                if (p->offsets)
                    *c += tile->offset[g][j % PPH_STRIP] * p->sums[g * p->rows + r];
            }
        }
}

static void q8_from_f32(int8_t *out, float *scale, const float *in, size_t n)
{
    for (size_t b = 0; b < n / 32; b++, out += 32, in += 32) {
        float most = 0;
        for (int i = 0; i < 32; i++)
            most = isnan(in[i]) || fabsf(in[i]) > most ? fabsf(in[i]) : most;
        float inverse = 127 / most;
        scale[b] = isinf(inverse) ? 0 : most / 127;
        if (!(most > 0) || isinf(most) || isinf(inverse)) {
            memset(out, 0, 32);
            continue;
        }
        for (int i = 0; i < 32; i++)
            out[i] = (int8_t)lrintf(in[i] * inverse);
    }
}

static void q8_sums(int32_t *out, const int8_t *in, size_t n)
{
    for (size_t i = 0; i < n / 16; i++) {
        int32_t sum = 0;
        for (size_t k = 0; k < 16; k++)
            sum += in[i * 16 + k];
        out[i] = sum;
    }
}

void pph_strips_fill_c(pph_strip_kernels *table)
{
    *table = (pph_strip_kernels){.name = "c",
                                 .panel = 4,
                                 .multiply = multiply,
                                 .q8_from_f32 = q8_from_f32,
                                 .q8_sums = q8_sums};
    pph_unpack_fill(table);
}
