/* What a sequence of a language model is made of so far: tokens, and where pictures stand, rows of
 * embeddings in their place. The prompt first; chosen tokens are added behind it.
 *
 *   ids    [ 1 | 3148 | 29901 |  -1 |  -1 |  -1 | 1724 | ... ]
 *   keys   [ 1 | 3148 | 29901 | k+0 | k+1 | k+2 | 1724 | ... ]     what stands there, for the cache
 *   rows                        [ f32 [3,D]     ]
 */
#ifndef PPH_POOL_PROMPT_H
#define PPH_POOL_PROMPT_H

#include "base/error.h"
#include <stdint.h>

/* Rows in the place of ids[begin .. begin + count). values  f32 [count,D], borrowed; NULL until they are
 * there */
typedef struct pph_prompt_rows {
    size_t begin, count;
    const float *values;
} pph_prompt_rows;

/* Starts as {0}. ids is -1 where rows stand. */
typedef struct pph_prompt {
    int32_t *ids;
    uint64_t *keys;
    size_t count, room;
    pph_prompt_rows *rows;
    size_t rows_count, rows_room;
} pph_prompt;

void pph_prompt_deinit(pph_prompt *prompt);

/* Errors: PPH_OUT_OF_MEMORY; the prompt is then as it was. */
PPH_CHECKED pph_status pph_prompt_add(pph_prompt *prompt, const int32_t *ids, size_t count,
                                      pph_error *err);
/* The place of `count` rows, which are filled in later.
 * content  128 bits that name what the rows are made from: two prompts share what the cache has of it when
 *          they agree */
PPH_CHECKED pph_status pph_prompt_add_rows(pph_prompt *prompt, size_t count,
                                           const uint8_t content[16], pph_error *err);

/* From `at` on, at most `most` positions of one kind: returns how many; 0 where rows stand that are not
 * there.
 * rows  f32 [count,D]; NULL: they are tokens */
size_t pph_prompt_run(const pph_prompt *prompt, size_t at, size_t most, size_t width,
                      const float **rows);

/* Which rows are missing at `at`: an index of prompt->rows; SIZE_MAX: none. */
size_t pph_prompt_missing(const pph_prompt *prompt, size_t at);

#endif
