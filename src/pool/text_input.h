/* From a text to what a model takes: the prompt of its task, the model's tokenizer, the limit of its
 * length. One for a loaded model; any number of threads prepare at once. */
#ifndef PPH_POOL_TEXT_INPUT_H
#define PPH_POOL_TEXT_INPUT_H

#include "model/model.h"
#include "pool/embedding.h"

typedef struct pph_text_input pph_text_input;

/* Read the folder's settings; its tokenizer is opened with the first text.
 * folder  as pph_folder_find gives it; model  to be asked for its type and what it takes; both borrowed
 *         for the call
 * Errors  those of pph_sentence_read; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_text_input_new(pph_text_input **out, const char *folder,
                                          const pph_model *model, pph_error *err);
/* Accepts NULL. */
void pph_text_input_free(pph_text_input **input);

/* Valid UTF-8 to numbers on the heap, for pph_text_batch_init.
 * Errors  PPH_TOO_LARGE with the excess when longer than the model takes and not to be cut;
 *         PPH_INVALID_ARGUMENT (a task that the folder does not know); PPH_UNSUPPORTED when the folder
 *         has no tokenizer, or the model takes no text, or pairs alone, or none; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_text_input_prepare(const pph_text_input *input,
                                              const pph_embedding_text *text, int32_t **out,
                                              size_t *count, pph_error *err);

/* Prepared texts as a model takes them, in memory of their own. */
typedef struct pph_text_batch {
    pph_texts texts;
    int32_t *ids;
    size_t *numbers; /* lengths, seconds, skipped */
} pph_text_batch;

/* prepared, sizes  [count], of pph_text_input_prepare. Errors: PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_text_batch_init(pph_text_batch *batch, size_t count,
                                           const int32_t *const *prepared, const size_t *sizes,
                                           pph_error *err);
void pph_text_batch_deinit(pph_text_batch *batch);

#endif
