/* The block types, taken apart: whatever the type, a block is small whole numbers, and for every 16
 * of them a factor and an offset. Stateless; any thread.
 *
 * Source  the layouts as ggml's users know them: a scale is an f16; numbers of less than 8 bits are
 *         packed low bits first; the K types have 256 numbers a block and, for every 16 or 32 of
 *         them, a whole scale (and minimum) of 4, 6 or 8 bits that multiplies the block's own */
#ifndef PPH_COMPUTE_BLOCKS_H
#define PPH_COMPUTE_BLOCKS_H

#include "compute/dtype.h"

enum {
    PPH_BLOCK_MOST = 256, /* elements of the largest block */
    PPH_BLOCK_GROUP = 16, /* elements that share a factor and an offset */
};

/* Element i is quant[i] * factor[i / 16] + offset[i / 16], rounded once if the product is exact,
 * which it is but for Q6_K. The offset of a type without one is 0. */
typedef struct pph_block_parts {
    int8_t quant[PPH_BLOCK_MOST];
    float factor[PPH_BLOCK_MOST / PPH_BLOCK_GROUP];
    float offset[PPH_BLOCK_MOST / PPH_BLOCK_GROUP];
} pph_block_parts;

/* Is it one of the types of blocks? */
bool pph_block_is(pph_dtype dtype);

/* Take one block apart. dtype: pph_block_is. block: its bytes, at any address. What lies past the
 * type's number of elements is left alone. */
void pph_block_read(pph_block_parts *out, pph_dtype dtype, const void *block);

/* The whole scales that a block packs in 6 bits: of Q3_K 16 signed ones; of Q4_K and Q5_K 8 factors,
 * then 8 minima. */
void pph_block_scales_of_3(uint8_t out[16], const uint8_t *block);
void pph_block_scales_of_4_and_5(uint8_t out[16], const uint8_t *block);

#endif
