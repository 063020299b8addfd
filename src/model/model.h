/* A model folder opened as whatever its config.json says that it is.
 *
 * One table, in model.c, has a row for each model_type; an architecture is a file of its own that
 * fills in pph_architecture. What stands above asks here and need not know which one it got. */
#ifndef PPH_MODEL_MODEL_H
#define PPH_MODEL_MODEL_H

#include "base/error.h"
#include "compute/team.h"
#include "model/crew.h"
#include "model/shared_linear.h"
#include <paraphym/precision.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pph_model pph_model;

/* team       whose members compute; must outlive the model
 * precision  AUTO: the fastest that keeps a cosine of 0.9995 to F32 on this processor
 * sharer     NULL, or of the layers that the model may have in common with others; must outlive it, and
 *            all who share it */
typedef struct pph_model_options {
    pph_team *team;
    pph_precision precision;
    pph_sharer *sharer;
} pph_model_options;

/* images, texts  what it embeds
 * labels         numbers that it gives each pair of texts, where it judges those instead; else 0
 * precision      never AUTO
 * dimensions     P, of the vectors; or the labels
 * image_side     pixels a side of the pictures; 0 without them
 * context        the most tokens of a text; 0 without them;  vocabulary  ids are below it */
typedef struct pph_model_info {
    bool images, texts;
    size_t labels;
    pph_precision precision;
    size_t dimensions, image_side, context, vocabulary;
} pph_model_info;

/* N texts, or pairs of them, as ids; all borrowed for the call.
 * ids      of all texts behind each other, special tokens included;  lengths  [N]
 * seconds  NULL, or [N]: from which id on a text is the second one of a pair; its length where it is
 *          none. A model without types of tokens passes it over, as others do the next
 * skipped  NULL, or [N]: ids at a text's beginning that are read but not pooled (a prompt's) */
typedef struct pph_texts {
    size_t count;
    const int32_t *ids;
    const size_t *lengths, *seconds, *skipped;
} pph_texts;

/* How an architecture does it; `state` is what its open gave. The contracts are those of the
 * functions below; an entry may be NULL for what it never does. */
typedef struct pph_architecture {
    pph_status (*open)(void **state, const char *folder, const pph_model_options *options,
                       pph_error *err);
    pph_status (*share)(void **out, const void *state, pph_error *err);
    void (*close)(void **state);
    pph_model_info (*describe)(const void *state);
    size_t (*bytes)(const void *state);
    size_t (*working_bytes)(const void *state);
    pph_status (*embed_pixels)(void *state, size_t count, const float *const *pictures, float *out,
                               const pph_done *done, pph_error *err);
    pph_status (*embed_texts)(void *state, const pph_texts *texts, float *out, pph_error *err);
} pph_architecture;

extern const pph_architecture pph_clip_architecture, pph_bert_architecture,
    pph_decoder_embedder_architecture;

/* The architecture for a model_type, or NULL. */
const pph_architecture *pph_model_find(const char *model_type);

/* Open a folder (or an entry of the hub's cache).
 * out     close with pph_model_close; untouched on error
 * Errors  PPH_UNSUPPORTED (a model_type without a row; the sentence lists those that have one), and
 *         those of the architecture
 * Thread  any */
PPH_CHECKED pph_status pph_model_open(pph_model **out, const char *folder,
                                      const pph_model_options *options, pph_error *err);
/* Another model on the same weights, with working memory of its own; each is closed by itself, in any
 * order.
 * Errors  PPH_UNSUPPORTED (a type that cannot), PPH_OUT_OF_MEMORY
 * Thread  any, also while others of the same weights compute */
PPH_CHECKED pph_status pph_model_share(pph_model **out, const pph_model *model, pph_error *err);
/* Accepts NULL. */
void pph_model_close(pph_model **model);

/* The model_type, and what there is to know. Borrowed until the model is closed. */
const char *pph_model_type(const pph_model *model);
const pph_model_info *pph_model_describe(const pph_model *model);
/* Heap that the model holds now, less what its sharer was told of; mapped files come on top. Of it, the working memory, which is not
 * shared; 0 where a type does not tell. */
size_t pph_model_bytes(const pph_model *model);
size_t pph_model_working_bytes(const pph_model *model);

/* Embed N prepared pictures.
 * pictures  [N], each f32 [3,Y,X], normalised by the model's recipe; borrowed for the call
 * out       f32 [N,P], not of unit length; unspecified on error, but for what was told of
 * done      told of vectors in their place; NULL: nobody
 * Errors  PPH_NOT_FOUND (the folder lacks what it takes), PPH_UNSUPPORTED (no model of this type does
 *         it), PPH_OUT_OF_MEMORY
 * Thread  the worker that owns the model */
PPH_CHECKED pph_status pph_model_embed_pixels(pph_model *model, size_t count,
                                              const float *const *pictures, float *out,
                                              const pph_done *done, pph_error *err);

/* Embed N texts, or judge N pairs of texts.
 * out      f32 [N,P], not of unit length unless the model says so; unspecified on error
 * Errors   PPH_INVALID_ARGUMENT (a length, an id), and those above
 * Thread   the worker that owns the model */
PPH_CHECKED pph_status pph_model_embed_texts(pph_model *model, const pph_texts *texts, float *out,
                                             pph_error *err);

#endif
