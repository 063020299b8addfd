/* The search kernels with NEON. */
#include "compute/kernels_scan.h"

#include <arm_neon.h>

static void dots(int32_t *sums, const uint8_t *rows, size_t width, size_t count,
                 const int8_t *query)
{
    for (size_t i = 0; i < count; i++, rows += width) {
        int32x4_t low = vdupq_n_s32(0), high = low;
        for (size_t j = 0; j < width; j += 8) {
            int16x8_t bytes = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(rows + j)));
            int16x8_t other = vmovl_s8(vld1_s8(query + j));
            low = vmlal_s16(low, vget_low_s16(bytes), vget_low_s16(other));
            high = vmlal_s16(high, vget_high_s16(bytes), vget_high_s16(other));
        }
        sums[i] = vaddvq_s32(vaddq_s32(low, high));
    }
}

void pph_scan_fill_neon(pph_scan_kernels *table)
{
    table->name = "neon";
    table->dots = dots;
}
