/* Pictures and text as vectors, of one space where the model is a CLIP: a model, served. A model of texts
 * alone (BERT and its family) takes texts; one that judges pairs of texts is for rerank.h.
 *
 * Every operation returns a future at once, never NULL, from any thread; what it reads from its
 * arguments it copies before it returns. Downloads run on the shared runtime, decoding and resizing
 * on the pool's prepare threads, the model on a worker of its own. Errors that any operation may
 * end with, beside its own: PPH_RUNTIME_UNAVAILABLE, PPH_SHUTTING_DOWN, PPH_CANCELLED,
 * PPH_OUT_OF_MEMORY, and whatever loading the model ran into (told to every caller). */
#ifndef PARAPHYM_MULTIMODAL_H
#define PARAPHYM_MULTIMODAL_H

#include <paraphym/future.h>
#include <paraphym/inputs.h>
#include <paraphym/pool.h>
#include <paraphym/precision.h>
#include <paraphym/priority.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_multimodal pph_multimodal;

typedef struct pph_multimodal_options {
    pph_precision precision;  /* PPH_PRECISION_AUTO */
    bool raw;                 /* vectors as the model gives them, not of unit length */
    bool truncate;            /* cut texts that are longer than the model takes, else an error */
    bool public_only;         /* addresses come from outside: fetch from public ones alone */
    size_t max_pixels;        /* of a picture, checked before it is decoded; 0: 100 million */
    size_t max_bytes;         /* of a picture's file, wherever it comes from; 0: 64 MiB */
    int64_t fetch_timeout_ms; /* 0: 30 s */
    pph_priority priority;    /* PPH_PRIORITY_NORMAL by default */
    int64_t timeout_ms;       /* of each operation, loading included: PPH_TIMEOUT; 0: none */
    const char *task;         /* what texts are for, see below; NULL: nothing is said; copied */
    size_t dimensions;        /* vectors cut to so many, then of unit length again; 0: all */
} pph_multimodal_options;

/* Tasks. Models of texts may want words before a text that say what it is for. A task names them: "query"
 * and "document" are always known, and add nothing where the model's folder has no prompt for them; any
 * other name has to stand in its config_sentence_transformers.json. Without a task the folder's
 * default_prompt_name counts. Models whose folder does not name the words that they want (E5's "query: ",
 * BGE's instruction) get texts as they are: put the words before them.
 *
 * Dimensions. Models that were trained for it (Matryoshka) give useful vectors in their first so many
 * numbers; asking for more than there are is an error of each input. */
PPH_API pph_multimodal_options pph_multimodal_defaults(void);

/* Serve the model in `folder` (Hugging Face layout; of sentence-transformers, with its settings for pooling and
 * what follows; without them text models are pooled by the mean). Returns before it is loaded: the first requests
 * wait for that, and are told when it fails. A folder that lacks a tower, a projection or a
 * tokenizer serves what it can.
 * options  NULL for the defaults
 * Errors   PPH_INVALID_ARGUMENT, PPH_OUT_OF_MEMORY, PPH_SPAWN_FAILED */
PPH_CHECKED PPH_API pph_status pph_multimodal_open(pph_multimodal **out, pph_pool *pool,
                                                   const char *folder,
                                                   const pph_multimodal_options *options,
                                                   pph_error *err);

/* What waits is told PPH_SHUTTING_DOWN, downloads and reading from pipes as well; what is decoded or
 * runs ends; the worker is joined. No operation may be called any more. Not on the loop's thread. NULL is accepted; clears the pointer. */
PPH_API void pph_multimodal_close(pph_multimodal **multimodal);

/* Vectors, row by row.
 * vectors  f32 [N,D], of unit length unless raw; a row whose error is not PPH_OK holds zeros
 * errors   [N]; for the operations on one input always PPH_OK (the future fails instead) */
typedef struct pph_embeddings {
    size_t count, dimensions;
    const float *vectors;
    const pph_error *errors;
} pph_embeddings;

/* Cosines, in [-1, 1].
 * cosines  f32 [R,C]; NaN where the row's or the column's input failed
 * row_errors, column_errors  [R], [C] */
typedef struct pph_similarities {
    size_t rows, columns;
    const float *cosines;
    const pph_error *row_errors, *column_errors;
} pph_similarities;

/* Value: pph_embeddings with count 1.
 * Errors  the picture's (PPH_NOT_FOUND, PPH_IO, PPH_CORRUPT, PPH_UNSUPPORTED, PPH_TOO_LARGE), the
 *         download's (PPH_NETWORK, PPH_NOT_FOUND, PPH_TIMEOUT, PPH_FORBIDDEN_ADDRESS, PPH_TOO_LARGE),
 *         PPH_INVALID_ARGUMENT (bad base64, bad address, invalid UTF-8, empty or too long a text),
 *         PPH_MODEL_ERROR */
PPH_API pph_future *pph_multimodal_embed(pph_multimodal *multimodal, pph_input input);
PPH_API pph_future *pph_multimodal_embed_image(pph_multimodal *multimodal, const char *path);
PPH_API pph_future *pph_multimodal_embed_image_bytes(pph_multimodal *multimodal, const void *bytes,
                                                     size_t size);
PPH_API pph_future *pph_multimodal_embed_image_url(pph_multimodal *multimodal, const char *url);
PPH_API pph_future *pph_multimodal_embed_image_base64(pph_multimodal *multimodal, const char *text);
PPH_API pph_future *pph_multimodal_embed_text(pph_multimodal *multimodal, const char *text);

/* Value: pph_embeddings with `count` rows, in order; an input that fails does so alone, by index.
 * 1 to 10,000 inputs, pictures and texts as they come for the first; the second takes texts.
 * Errors  PPH_INVALID_ARGUMENT (count) */
PPH_API pph_future *pph_multimodal_batch_embed_images(pph_multimodal *multimodal,
                                                      const pph_input *inputs, size_t count);
PPH_API pph_future *pph_multimodal_batch_embed_text(pph_multimodal *multimodal,
                                                    const char *const *texts, size_t count);

/* Value: pph_similarities of one row and one column. Errors: those of either input. */
PPH_API pph_future *pph_multimodal_similarity(pph_multimodal *multimodal, pph_input a, pph_input b);
PPH_API pph_future *pph_multimodal_text_image_similarity(pph_multimodal *multimodal,
                                                         const char *text, pph_input image);
PPH_API pph_future *pph_multimodal_image_image_similarity(pph_multimodal *multimodal, pph_input a,
                                                          pph_input b);

/* Value: pph_similarities of every row with every column; an input that fails does so alone.
 * rows + columns at most 10,000. Errors: PPH_INVALID_ARGUMENT (counts) */
PPH_API pph_future *pph_multimodal_batch_similarity(pph_multimodal *multimodal,
                                                    const pph_input *rows, size_t row_count,
                                                    const pph_input *columns, size_t column_count);

#ifdef __cplusplus
}
#endif
#endif
