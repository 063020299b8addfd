/* How well documents answer a query, judged by a cross-encoder, which reads both together: slower than
 * comparing vectors, and better. */
#ifndef PARAPHYM_RERANK_H
#define PARAPHYM_RERANK_H

#include <paraphym/multimodal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In the order of the documents; a higher number is a better answer.
 * logits  f32 [N], as the model gives them
 * scores  f32 [N], 1 / (1 + e^-logit), in (0, 1), whatever activation the model's folder names
 * errors  [N]; where one is not PPH_OK both numbers are NaN */
typedef struct pph_scores {
    size_t count;
    const float *scores, *logits;
    const pph_error *errors;
} pph_scores;

/* Judge 1 to 10,000 documents by a query. Each text has 1 to 1,000,000 bytes of UTF-8. A pair that is longer
 * than the model takes is an error of that document, unless the model was opened with `truncate`: then
 * whichever of the two is longer is cut.
 * model  opened by pph_multimodal_open on the folder of a cross-encoder (...ForSequenceClassification with
 *        one label)
 * Value  pph_scores; a document that fails does so alone
 * Errors PPH_INVALID_ARGUMENT (count; the query: empty or not UTF-8), PPH_TOO_LARGE (the query), and those
 *        of multimodal.h; PPH_UNSUPPORTED, of every document, when the model is no cross-encoder */
PPH_API pph_future *pph_rerank(pph_multimodal *model, const char *query,
                               const char *const *documents, size_t count);

#ifdef __cplusplus
}
#endif
#endif
