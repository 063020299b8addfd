/* A model in memory as the life of its workers sees it: a table of functions. The life (worker.h) knows
 * nothing of what is inside, nor of what is asked of it: that is the work's (work.h). CLIP is one such
 * table, tests bring others. */
#ifndef PPH_POOL_ENGINE_H
#define PPH_POOL_ENGINE_H

#include "base/str.h"
#include "compute/team.h"
#include "model/shared_linear.h"
#include <paraphym/precision.h>

typedef struct pph_engine pph_engine;
typedef struct pph_work pph_work;

/* model      what to load: a folder, or a file
 * projector  the file of its picture part; NULL: none is named
 * precision, quantize  wished for
 * sharer     of layers that other models of the pool may have too; outlives the engine. NULL: none is shared */
typedef struct pph_engine_spec {
    const char *model, *projector;
    pph_precision precision;
    pph_quantize quantize;
    pph_team *team;
    pph_sharer *sharer;
} pph_engine_spec;

typedef struct pph_engine_kind {
    /* What its workers do with it. */
    const pph_work *work;

    /* What the model's files will need of memory once loaded, from their headers alone.
     * file_bytes  what has to be read, which bounds how long a load may take
     * Thread      the worker */
    pph_status (*estimate)(const pph_engine_spec *spec, uint64_t *bytes, uint64_t *file_bytes,
                           pph_error *err);

    /* Load. Thread: the worker. */
    pph_status (*open)(pph_engine **out, const pph_engine_spec *spec, pph_error *err);
    void (*close)(pph_engine **engine);

    /* Another engine on the same weights, with working memory of its own, for one more worker; each is
     * closed by itself, in any order. NULL where the kind cannot: its models have one worker, and one
     * that stalls takes the weights with it. The one that is shared is never stepped itself.
     * Thread  any, also while others of the same weights run */
    pph_status (*share)(pph_engine **out, pph_engine *engine, pph_error *err);

    /* What it holds now: weights, whoever shares them, but for what its sharer was told of; working memory of this one, caches included.
     * Thread: the worker, between steps. */
    void (*bytes)(const pph_engine *engine, uint64_t *weights, uint64_t *activations);
} pph_engine_kind;

#endif
