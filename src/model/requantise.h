/* Rows of weights from one stored type to another. */
#ifndef PPH_MODEL_REQUANTISE_H
#define PPH_MODEL_REQUANTISE_H

#include "compute/dtype.h"
#include "compute/team.h"

/* The type that a matrix of a decoder has in a model of a type. Rows that are no whole blocks are F16. The
 * matrix of the logits (the token table, where it is that too) is Q8_0 at the least: it decides each token,
 * and is read once.
 * wish    F32, F16, BF16, Q8_0 or Q4_0 */
pph_dtype pph_requantise_type(pph_dtype wish, bool logits, size_t columns);

/* Widened to f32 and rounded once; the same type is copied.
 * from    F32, F16, BF16 or a type of blocks; to  F32, F16, BF16, Q8_0 or Q4_0
 * rows    `count` rows of `width` without gaps, at any address
 * out     as many of the other type
 * Errors  those of pph_dequantise_rows and pph_quantise_rows; PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_requantise(pph_team *team, pph_dtype from, const void *rows,
                                      size_t count, size_t width, pph_dtype to, void *out,
                                      pph_error *err);

#endif
