/* The prepare threads: one queue, first come first served. Owns its threads and nothing of the
 * jobs. */
#include "pool/prepare.h"

#include "base/mem.h"
#include "base/thread.h"

static pph_prepare_job *take(pph_prepare *prepare)
{
    pthread_mutex_lock(&prepare->mutex);
    while (!prepare->first && !prepare->closing)
        pthread_cond_wait(&prepare->wake, &prepare->mutex);
    pph_prepare_job *job = prepare->first;
    if (job) {
        prepare->first = job->next;
        if (!prepare->first)
            prepare->last = &prepare->first;
    }
    pthread_mutex_unlock(&prepare->mutex);
    return job;
}

static void *serve(void *context)
{
    pph_prepare *prepare = context;
    for (pph_prepare_job *job; (job = take(prepare));)
        job->run(job);
    return NULL;
}

pph_status pph_prepare_init(pph_prepare *prepare, const char *name, int count, pph_error *err)
{
    *prepare = (pph_prepare){.last = &prepare->first};
    prepare->threads = pph_alloc_array((size_t)count, sizeof *prepare->threads);
    if (!prepare->threads)
        return PPH_FAIL_MEMORY(err, (size_t)count * sizeof *prepare->threads);
    pthread_mutex_init(&prepare->mutex, NULL);
    pph_cond_init(&prepare->wake);
    while (prepare->count < count) {
        pthread_t *slot = &prepare->threads[prepare->count];
        pph_status status = pph_thread_start(slot, name, serve, prepare, err);
        if (status != PPH_OK) {
            pph_prepare_deinit(prepare);
            if (err)
                err->status = PPH_SPAWN_FAILED;
            return PPH_SPAWN_FAILED;
        }
        prepare->count++;
    }
    return PPH_OK;
}

void pph_prepare_deinit(pph_prepare *prepare)
{
    if (!prepare->threads)
        return;
    pthread_mutex_lock(&prepare->mutex);
    prepare->closing = true;
    pthread_cond_broadcast(&prepare->wake);
    pthread_mutex_unlock(&prepare->mutex);
    for (int i = 0; i < prepare->count; i++)
        pthread_join(prepare->threads[i], NULL);
    pthread_cond_destroy(&prepare->wake);
    pthread_mutex_destroy(&prepare->mutex);
    pph_free(prepare->threads);
    *prepare = (pph_prepare){0};
}

void pph_prepare_post(pph_prepare *prepare, pph_prepare_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&prepare->mutex);
    *prepare->last = job;
    prepare->last = &job->next;
    pthread_cond_signal(&prepare->wake);
    pthread_mutex_unlock(&prepare->mutex);
}
