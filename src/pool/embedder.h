/* One CLIP folder as the service uses it: model, tokenizer and recipe together. What the folder
 * lacks limits only what needs it. */
#ifndef PPH_POOL_EMBEDDER_H
#define PPH_POOL_EMBEDDER_H

#include "base/str.h"
#include "compute/team.h"
#include <paraphym/precision.h>

typedef struct pph_embedder pph_embedder;

/* Read configuration, recipe and tokenizer, and map the weights; a tower is made ready with the
 * first batch that needs it. Errors: the folder's. Thread: the model's worker. */
PPH_CHECKED pph_status pph_embedder_open(pph_embedder **out, const char *folder,
                                         pph_precision precision, pph_team *team, pph_error *err);
/* The same weights with working memory of its own, to run alone: it prepares nothing. Either may be
 * freed first. Errors: PPH_OUT_OF_MEMORY. Thread: any */
PPH_CHECKED pph_status pph_embedder_share(pph_embedder **out, pph_embedder *embedder,
                                          pph_error *err);
void pph_embedder_free(pph_embedder **embedder);

size_t pph_embedder_dimensions(const pph_embedder *embedder); /* D */

/* A picture file's bytes to the model's pixels: f32 [3,Y,X] on the heap. Any thread.
 * Errors: the picture's; PPH_UNSUPPORTED when the folder has no picture tower. */
PPH_CHECKED pph_status pph_embedder_prepare_image(const pph_embedder *embedder, pph_str bytes,
                                                  size_t max_pixels, float **pixels,
                                                  pph_error *err);

/* Valid UTF-8 to tokens on the heap, special ones included. Any thread.
 * Errors  PPH_TOO_LARGE with the excess when longer than the model takes and not `truncate`;
 *         PPH_UNSUPPORTED when the folder has no tokenizer or no text tower */
PPH_CHECKED pph_status pph_embedder_prepare_text(const pph_embedder *embedder, pph_str text,
                                                 bool truncate, int32_t **tokens, size_t *count,
                                                 pph_error *err);

/* out  f32 [N,D], as the model gives them (not of unit length). Thread: the worker. */
PPH_CHECKED pph_status pph_embedder_run_images(pph_embedder *embedder, size_t count,
                                               const float *const *pixels, float *out,
                                               pph_error *err);
PPH_CHECKED pph_status pph_embedder_run_texts(pph_embedder *embedder, size_t count,
                                              const int32_t *const *tokens, const size_t *lengths,
                                              float *out, pph_error *err);

#endif
