/* The prepare threads: where inputs are read, decoded, resized and tokenized. Shared by all models
 * of a pool. */
#ifndef PPH_POOL_PREPARE_H
#define PPH_POOL_PREPARE_H

#include "base/error.h"
#include <pthread.h>
#include <stdbool.h>

/* A piece of work, kept inside what it works on, so that posting it cannot fail for want of memory.
 * The poster keeps it alive until `run` has been entered; `run` may free it. */
typedef struct pph_prepare_job {
    void (*run)(struct pph_prepare_job *job);
    struct pph_prepare_job *next;
} pph_prepare_job;

typedef struct pph_prepare {
    pthread_mutex_t mutex; /* guards what follows; never held while a job runs */
    pthread_cond_t wake;
    pph_prepare_job *first, **last;
    bool closing;
    pthread_t *threads;
    int count;
} pph_prepare;

/* Start `count` threads (at least 1) of that name. Errors: PPH_OUT_OF_MEMORY, PPH_SPAWN_FAILED. */
PPH_CHECKED pph_status pph_prepare_init(pph_prepare *prepare, const char *name, int count,
                                        pph_error *err);

/* Runs what was posted to its end, then joins the threads. Nothing may be posted any more. */
void pph_prepare_deinit(pph_prepare *prepare);

/* Run the job on one of the threads, in order of posting. Any thread; never blocks for long. */
void pph_prepare_post(pph_prepare *prepare, pph_prepare_job *job);

#endif
