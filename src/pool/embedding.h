/* Embedding: the work of a served model that turns items, pictures and texts, into vectors; its queues,
 * and the way of an item through them.
 *
 *   submit -> waiting -> (fetching) -> preparing -> ready -> running -> ended
 *                    '------------- a credit is held -------------'
 *
 * Items wait until the model is loaded and a credit is free. Credits bound what is downloaded,
 * decoded and kept in pixels at once, whatever the number of inputs. A worker takes what is ready,
 * up to a batch of one kind. Every item ends exactly once, from whichever state.
 *
 * The loop's thread only passes items on: what ends with a download ends on a prepare thread, since
 * the last item of a request computes its answer. */
#ifndef PPH_POOL_EMBEDDING_H
#define PPH_POOL_EMBEDDING_H

#include "model/crew.h"
#include "pool/jobs.h"
#include "pool/linger.h"
#include "pool/request.h"
#include "pool/served.h"
#include "pool/sizing.h"

/* A text as it is meant; all borrowed for the call.
 * query     the text is a document to be judged by this one; data NULL: it is to be embedded
 * task      what the text is for, by a name that the model's folder knows, or NULL
 * truncate  cut it when it is longer than the model takes */
typedef struct pph_embedding_text {
    pph_str text, query;
    const char *task;
    bool truncate;
} pph_embedding_text;

/* An engine that embeds. Its `engine.work` is &pph_embedding_work. */
typedef struct pph_embedding_kind {
    pph_engine_kind engine;

    size_t (*dimensions)(const pph_engine *engine); /* D of its vectors */
    /* Floats of a prepared picture; NULL when the kind takes none, or they do not matter. */
    size_t (*picture_size)(const pph_engine *engine);

    /* A picture file's bytes to the model's input; a text to `count` numbers,
     * which are what run_texts takes: tokens, and whatever else it has to know of them.
     * engine  the first, as it was opened
     * pixels  to be given back with pph_spare_give;  tokens  on the heap
     * cost    of the input in a batch: pixels, or tokens
     * Thread  any, several at once */
    pph_status (*prepare_image)(const pph_engine *engine, pph_str bytes, size_t max_pixels,
                                float **pixels, size_t *cost, pph_error *err);
    pph_status (*prepare_text)(const pph_engine *engine, const pph_embedding_text *text,
                               int32_t **tokens, size_t *count, pph_error *err);

    /* One step: N inputs of a kind to vectors. out  f32 [N,D]. done  may be told of those that are in
     * their place before the step's end. Thread: the worker whose engine it is. */
    pph_status (*run_images)(pph_engine *engine, size_t count, const float *const *pixels,
                             float *out, const pph_done *done, pph_error *err);
    pph_status (*run_texts)(pph_engine *engine, size_t count, const int32_t *const *tokens,
                            const size_t *lengths, float *out, const pph_done *done,
                            pph_error *err);
} pph_embedding_kind;

extern const pph_work pph_embedding_work;

typedef struct pph_item_queue {
    pph_item *first, **last;
} pph_item_queue;

/* The record; all but `base` and `kind` under its lock, unless said. Of its units of work, items, those
 * count as started that hold a credit. */
typedef struct pph_embedding {
    pph_served base;
    /* Of the first load; later ones have to agree. */
    atomic_size_t dimensions;
    size_t picture_size; /* the loading worker's */

    pph_jobs *waiting, *ready;
    pph_item_queue fetching;
    pph_sharing sharing;
    pph_linger linger[2]; /* by kind: pictures, texts; so too `sizing` */
    pph_sizing sizing[2];
    size_t preparing; /* items that use the engine on a prepare thread */
    bool dispatching; /* a thread is starting items; it looks for more before it leaves */
} pph_embedding;

static inline const pph_embedding_kind *pph_embedding_kind_of(const pph_embedding *model)
{
    return (const pph_embedding_kind *)model->base.kind;
}

/* Queue all items of a request, or end them with the reason why not. */
void pph_embedding_submit(pph_embedding *model, pph_request *request);

/* Start waiting items while credits are free. Any thread, at any time, no lock held. */
void pph_embedding_dispatch(pph_embedding *model);

/* End an item that was submitted and is in no queue; item->error or item->vector is in place. */
void pph_embedding_end(pph_item *item);
/* The same on a prepare thread, for the worker: the last item of a table of similarities computes it,
 * which may take seconds. */
void pph_embedding_end_aside(pph_item *item);
/* The same on the pool's teller, for the worker that has a next step to begin: to wake whoever waits, one
 * after the other, takes long enough to keep the processors from it. */
void pph_embedding_end_soon(pph_item *item);

/* End what a queue handed out without its being run: too late, or not wanted any more. */
void pph_embedding_end_unrun(pph_job_list *expired, pph_job_list *dropped);

/* End all that waits with *reason; of one handle alone, when it is given. */
void pph_embedding_refuse(pph_embedding *model, const pph_multimodal *handle,
                          const pph_error *reason);

/* The engine broke: what waits of handles that close has nobody to run it, and they wait for it. */
void pph_embedding_refuse_closing(pph_embedding *model);

/* Cancel the downloads of a handle's items. */
void pph_embedding_end_fetches(pph_embedding *model, const pph_multimodal *handle);

/* Called by who prepares an item, with what it holds. True when an equal one is in flight: the item
 * then waits for its result, and is the caller's no more. */
bool pph_embedding_follow(pph_item *item, pph_str content);
/* The item ends: those that waited for it have its result, and are ended with
 * pph_embedding_end_followers; or *heir has to run in its place, with what was prepared. */
pph_share *pph_embedding_part(pph_item *item, pph_item **heir);
void pph_embedding_end_followers(pph_share *told);

/* The most pictures, or texts, of a step; under the lock. */
size_t pph_embedding_batch_most(const pph_embedding *model, unsigned kind);

/* The loop of its workers, and what is done for a worker that was given up: see work.h. */
enum { PPH_EMBEDDING_BATCH = 64 };
typedef struct pph_embedding_batch {
    pph_item *items[PPH_EMBEDDING_BATCH];
    void *inputs[PPH_EMBEDDING_BATCH]; /* pixels or tokens, the worker's until the step is over */
    size_t lengths[PPH_EMBEDDING_BATCH];
    size_t count;
    bool texts;
    bool early; /* items may end before the step */
    pph_breaker_ticket ticket;
    atomic_bool ended[PPH_EMBEDDING_BATCH]; /* somebody has ended the item, or is about to */
    atomic_size_t left;                     /* results that were not told of */
} pph_embedding_batch;
pph_end_reason pph_embedding_run(pph_worker *worker);
void pph_embedding_lost(pph_served *served, pph_worker *worker, const pph_error *why);

#endif
