/* A handle on a served model: what its caller chose, and what of its work is still under way. */
#ifndef PPH_POOL_SERVICE_H
#define PPH_POOL_SERVICE_H

#include "pool/embedding.h"

struct pph_multimodal {
    pph_pool *pool;
    pph_embedding *model;
    pph_multimodal_options options; /* with the defaults filled in, and a task of its own */
    pid_t owner;
    uint64_t caller; /* whom the queue is fair to */
    /* Under the served model's lock: */
    size_t items; /* submitted and not ended */
    bool closing;
};

/* Open a handle on whatever `kind` serves. pph_multimodal_open does it with pph_embedder_kind. */
PPH_CHECKED pph_status pph_service_open(pph_multimodal **out, pph_pool *pool,
                                        const pph_embedding_kind *kind, const char *model,
                                        const pph_multimodal_options *options, pph_error *err);

/* Queue `count` inputs; the future is never NULL. */
pph_future *pph_service_submit(pph_multimodal *multimodal, const pph_request_shape *shape,
                               const pph_input *inputs, size_t count);
/* A future that has failed. */
pph_future *pph_service_refuse(pph_status status, const char *message);
pph_future *pph_service_refuse_count(size_t count, const char *of);

/* The most inputs of an operation. */
enum { PPH_SERVICE_COUNT = 10000 };

/* Folders of what embeds, or ranks. */
extern const pph_embedding_kind pph_embedder_kind;

#endif
