/* A handle on a served model: what its caller chose, and what of its work is still under way. */
#ifndef PPH_POOL_SERVICE_H
#define PPH_POOL_SERVICE_H

#include "pool/embedding.h"

struct pph_multimodal {
    pph_pool *pool;
    pph_embedding *model;
    pph_multimodal_options options; /* with the defaults filled in */
    pid_t owner;
    uint64_t caller; /* whom the queue is fair to */
    /* Under the served model's lock: */
    size_t items; /* submitted and not ended */
    bool closing;
};

/* Open a handle on whatever `kind` serves. pph_multimodal_open does it with CLIP. */
PPH_CHECKED pph_status pph_service_open(pph_multimodal **out, pph_pool *pool,
                                        const pph_embedding_kind *kind, const char *model,
                                        const pph_multimodal_options *options, pph_error *err);

/* CLIP folders. */
extern const pph_embedding_kind pph_embedder_kind;

#endif
