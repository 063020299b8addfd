/* A served model: its queue, its worker, and the way of an item through them.
 *
 *   submit -> waiting -> (fetching) -> preparing -> ready -> running -> ended
 *                    '------------- a credit is held -------------'
 *
 * Items wait until the model is loaded and a credit is free. Credits bound what is downloaded,
 * decoded and kept in pixels at once, whatever the number of inputs. The worker takes what is ready,
 * in order, up to a batch of one kind. Every item ends exactly once, from whichever state.
 *
 * The loop's thread only passes items on: what ends with a download ends on a prepare thread, since
 * the last item of a request computes its answer. */
#ifndef PPH_POOL_SERVING_H
#define PPH_POOL_SERVING_H

#include "pool/embedder.h"
#include "pool/pool.h"
#include "pool/request.h"

typedef struct pph_item_queue {
    pph_item *first, **last;
} pph_item_queue;

typedef enum pph_serving_state {
    PPH_SERVING_LOADING,
    PPH_SERVING_READY,
    PPH_SERVING_FAILED,  /* `failure` says why, to every caller */
    PPH_SERVING_CLOSING, /* nothing is taken any more */
} pph_serving_state;

struct pph_multimodal {
    pph_pool *pool;
    pph_multimodal_options options;
    char *folder;
    pid_t owner;
    pthread_t worker;
    pph_embedder *embedder;   /* set by the worker before READY, then constant */
    atomic_size_t dimensions; /* likewise; 0 before */

    pthread_mutex_t mutex; /* guards all below; never held while calling out of this room */
    pthread_cond_t wake;   /* the worker's: something is ready, or closing */
    pthread_cond_t idle;   /* pph_serving_close's: credits came back, or the dispatch was left */
    pph_serving_state state;
    pph_error failure;
    pph_item_queue waiting, ready, fetching;
    size_t credits_out;
    bool stop;        /* the worker's last word: nothing will become ready any more */
    bool dispatching; /* a thread is starting items; it looks for more before it leaves */
};

void pph_item_queue_init(pph_item_queue *queue);
void pph_item_queue_push(pph_item_queue *queue, pph_item *item);
pph_item *pph_item_queue_pop(pph_item_queue *queue); /* NULL when empty */

/* Queue all items of a request, or end them with the reason why not. */
void pph_serving_submit(pph_multimodal *multimodal, pph_request *request);

/* Start waiting items while credits are free. Any thread, at any time, no lock held. */
void pph_serving_dispatch(pph_multimodal *multimodal);

/* End an item that holds a credit; item->error or item->vector is in place. */
void pph_serving_end(pph_item *item);
/* The same on a prepare thread, for the worker: the last item of a table of similarities computes it,
 * which may take seconds. */
void pph_serving_end_aside(pph_item *item);

/* The load failed (PPH_SERVING_FAILED) or the model closes: whatever waits, and whatever comes, is
 * told *reason. */
void pph_serving_refuse_all(pph_multimodal *multimodal, pph_serving_state state,
                            const pph_error *reason);

/* Refuse what waits, call off downloads, let what else holds a credit end, join the worker. Not on the
 * loop's thread. */
void pph_serving_close(pph_multimodal *multimodal);

/* The worker's life; `context` is the pph_multimodal. */
void *pph_serving_work(void *context);

#endif
