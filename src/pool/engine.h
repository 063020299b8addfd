/* What a worker runs, as the pool sees it: a table of functions over one loaded model. The pool knows
 * nothing of what is inside; CLIP is one such table (embedder.h), tests bring others. */
#ifndef PPH_POOL_ENGINE_H
#define PPH_POOL_ENGINE_H

#include "base/str.h"
#include "compute/team.h"
#include <paraphym/precision.h>

typedef struct pph_engine pph_engine;

/* model      what to load: a folder
 * precision  wished for */
typedef struct pph_engine_spec {
    const char *model;
    pph_precision precision;
    pph_team *team;
} pph_engine_spec;

typedef struct pph_engine_kind {
    /* What the model's files will need of memory once loaded, from their headers alone.
     * file_bytes  what has to be read, which bounds how long a load may take
     * Thread      the worker */
    pph_status (*estimate)(const pph_engine_spec *spec, uint64_t *bytes, uint64_t *file_bytes,
                           pph_error *err);

    /* Load. Thread: the worker. */
    pph_status (*open)(pph_engine **out, const pph_engine_spec *spec, pph_error *err);
    void (*close)(pph_engine **engine);

    size_t (*dimensions)(const pph_engine *engine); /* D of its vectors */
    /* Floats of a prepared picture; NULL when the kind takes none, or they do not matter. */
    size_t (*picture_size)(const pph_engine *engine);
    /* What it holds now. Thread: the worker, between steps. */
    void (*bytes)(const pph_engine *engine, uint64_t *weights, uint64_t *activations);

    /* A picture file's bytes to the model's input, on the heap; a text to tokens, likewise.
     * cost    of the input in a batch: pixels, or tokens
     * Thread  any, several at once */
    pph_status (*prepare_image)(const pph_engine *engine, pph_str bytes, size_t max_pixels,
                                float **pixels, size_t *cost, pph_error *err);
    pph_status (*prepare_text)(const pph_engine *engine, pph_str text, bool truncate,
                               int32_t **tokens, size_t *count, pph_error *err);

    /* One step: N inputs of a kind to vectors. out  f32 [N,D]. Thread: the worker. */
    pph_status (*run_images)(pph_engine *engine, size_t count, const float *const *pixels,
                             float *out, pph_error *err);
    pph_status (*run_texts)(pph_engine *engine, size_t count, const int32_t *const *tokens,
                            const size_t *lengths, float *out, pph_error *err);
} pph_engine_kind;

#endif
