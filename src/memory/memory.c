/* A store's life: opened, its threads, the way of a task through them, closed. */
#include "memory/service.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "memory/schema.h"
#include "memory/store.h"
#include "pool/pool.h"
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* FOLLOW_FROM: vectors that may be stored before the indexes are made to follow. */
enum { BUSY_MS = 10000, QUEUE = 16384, BATCH = 256, FOLLOW_FROM = 4096 };

pph_memory_options pph_memory_defaults(void)
{
    return (pph_memory_options){.busy_ms = BUSY_MS, .queue = QUEUE, .decay = 0.1, .floor = 0.01};
}

int64_t pph_memory_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

pph_filter_time pph_memory_time(const pph_memory *memory)
{
    return (pph_filter_time){pph_memory_now(), memory->options.decay, memory->options.floor};
}

static pph_future *embed_served(void *context, const pph_input *inputs, size_t count)
{
    return pph_multimodal_batch_embed_images(context, inputs, count);
}

pph_memory_embedder pph_memory_embedder_of(pph_multimodal *multimodal, const char *name, bool texts,
                                           bool pictures)
{
    return (pph_memory_embedder){name, texts, pictures, embed_served, multimodal};
}

static void put(pph_task_queue *queue, pph_task *task)
{
    task->next = NULL;
    if (!queue->last)
        queue->last = &queue->first;
    *queue->last = task;
    queue->last = &task->next;
}

static pph_task *take(pph_task_queue *queue)
{
    pph_task *task = queue->first;
    if (!task)
        return NULL;
    queue->first = task->next;
    if (!queue->first)
        queue->last = &queue->first;
    return task;
}

pph_task *pph_task_new(size_t size, pph_memory *memory, const pph_task_kind *kind)
{
    pph_task *task = pph_alloc(size);
    if (!task)
        return NULL;
    task->kind = kind;
    task->memory = memory;
    return task;
}

static void task_free(pph_task *task)
{
    for (size_t i = 0; i < task->embedding_count; i++) {
        pph_future_free(&task->embeddings[i].future);
        pph_free(task->embeddings[i].inputs);
        pph_free(task->embeddings[i].places);
    }
    if (task->successor)
        task_free(task->successor);
    if (task->value && task->release)
        task->release(task->value);
    pph_future_free(&task->future);
    if (task->kind->free)
        task->kind->free(task);
    pph_free(task);
}

/* Into the queue of its next stage. */
static void enqueue(pph_task *task)
{
    pph_memory *memory = task->memory;
    bool writes = task->stage == PPH_TASK_RUN && task->kind->writes;
    pthread_mutex_lock(&memory->mutex);
    put(writes ? &memory->writes : &memory->reads, task);
    pthread_cond_signal(writes ? &memory->write : &memory->read);
    pthread_mutex_unlock(&memory->mutex);
}

/* The task is over: its caller is told, and the store may be closed; or the next goes on for it, and is
 * counted in its place. */
static void end_task(pph_task *task)
{
    pph_memory *memory = task->memory;
    pph_task *next = task->error.status == PPH_OK ? PPH_TAKE(task->successor) : NULL;
    if (next) {
        next->future = PPH_TAKE(task->future);
        next->stage = PPH_TASK_PLAN;
        task_free(task);
        enqueue(next);
        return;
    }
    if (task->future && task->error.status == PPH_OK)
        pph_future_complete(task->future, PPH_TAKE(task->value), task->release);
    else if (task->future)
        pph_future_fail(task->future, &task->error);
    else if (task->error.status != PPH_OK)
        pph_log(PPH_LOG_WARN, "%s: %s", memory->path, task->error.message);
    task_free(task);
    pthread_mutex_lock(&memory->mutex);
    if (--memory->tasks == 0)
        pthread_cond_broadcast(&memory->idle);
    pthread_mutex_unlock(&memory->mutex);
}

/* One embedding less to wait for; the last puts the task on its way. */
static void embedded(pph_task *task)
{
    if (atomic_fetch_sub(&task->pending, 1) == 1) {
        task->stage = PPH_TASK_RUN;
        enqueue(task);
    }
}

static void on_embedded(pph_future *future, void *context)
{
    (void)future;
    embedded(context);
}

/* Ask the embedders. The task is theirs from here on: it may have run before this returns. */
static void embed(pph_task *task)
{
    atomic_store(&task->pending, task->embedding_count + 1);
    for (size_t i = 0; i < task->embedding_count; i++) {
        pph_task_embedding *one = &task->embeddings[i];
        const pph_memory_embedder *embedder = &task->memory->spaces[one->embedder].embedder;
        one->future = embedder->embed(embedder->context, one->inputs, one->count);
        pph_error error;
        if (pph_future_then(one->future, on_embedded, task, &error) != PPH_OK) {
            /* It will not be waited for; its vectors are missing, as of one that failed. */
            pph_future_cancel(one->future);
            pph_future_free(&one->future);
            one->future = pph_future_failed(&error);
            embedded(task);
        }
    }
    embedded(task);
}

/* The stages before the last, on a reader. */
static void make_ready(pph_task *task, pph_sql *sql)
{
    pph_status status = PPH_OK;
    if (task->stage == PPH_TASK_PREPARE && task->kind->prepare)
        status = task->kind->prepare(task, &task->error);
    if (status == PPH_OK && task->kind->plan)
        status = task->kind->plan(task, sql, &task->error);
    if (status != PPH_OK)
        end_task(task);
    else
        embed(task);
}

/* Whoever asked has gone: nothing is begun for it. */
static bool abandoned(pph_task *task)
{
    if (!task->future || !pph_future_done(task->future))
        return false;
    (void)PPH_FAIL(&task->error, PPH_CANCELLED, "cancelled before it was begun");
    return true;
}

static void *read_all(void *context)
{
    pph_memory *memory = context;
    pthread_mutex_lock(&memory->mutex);
    size_t mine = 0;
    for (size_t i = 1; i < memory->thread_count; i++)
        if (pthread_equal(memory->threads[i], pthread_self()))
            mine = i;
    while (!memory->stopping || memory->reads.first) {
        pph_task *task = take(&memory->reads);
        if (!task) {
            pthread_cond_wait(&memory->read, &memory->mutex);
            continue;
        }
        pthread_mutex_unlock(&memory->mutex);
        if (abandoned(task)) {
            end_task(task);
        } else if (task->stage != PPH_TASK_RUN) {
            make_ready(task, memory->connections[mine]);
        } else {
            pph_status status = task->kind->run(task, memory->connections[mine], &task->error);
            task->error.status = status;
            end_task(task);
        }
        pthread_mutex_lock(&memory->mutex);
    }
    pthread_mutex_unlock(&memory->mutex);
    return NULL;
}

typedef struct batch {
    pph_task *tasks[BATCH];
    size_t count, at;
    pph_sql *sql;
} batch;

static pph_status write_one(void *context, pph_error *err)
{
    batch *work = context;
    pph_task *task = work->tasks[work->at];
    return abandoned(task) ? PPH_FAIL(err, PPH_CANCELLED, "cancelled before it was begun")
                           : task->kind->run(task, work->sql, err);
}

/* What fails leaves the others as they are. */
static pph_status write_batch(void *context, pph_error *err)
{
    batch *work = context;
    for (work->at = 0; work->at < work->count; work->at++) {
        pph_error *error = &work->tasks[work->at]->error;
        bool lost;
        error->status = pph_sql_part(work->sql, write_one, work, &lost, error);
        if (lost) {
            *err = *error;
            return err->status;
        }
    }
    return PPH_OK;
}

/* Bring the indexes to what the store has. What fails is met again, and told, by the next search. */
static pph_status run_follow(pph_task *task, pph_sql *sql, pph_error *err)
{
    for (size_t s = 0; s < task->memory->space_count; s++) {
        pph_vectors *index = NULL;
        PPH_TRY(pph_memory_index(task->memory, s, sql, &index, err));
        if (index)
            PPH_TRY(pph_vectors_follow(index, sql, err));
    }
    return PPH_OK;
}

static const pph_task_kind kind_follow = {false, NULL, NULL, run_follow, NULL};

/* Vectors that a batch may have stored. */
static size_t vectors_of(const batch *work)
{
    size_t count = 0;
    for (size_t i = 0; i < work->count; i++)
        for (size_t e = 0; e < work->tasks[i]->embedding_count; e++)
            count += work->tasks[i]->embeddings[e].count;
    return count;
}

/* Once many are stored the indexes follow, aside: else the first search after them would wait for all. */
static void note_stored(pph_memory *memory, size_t *unindexed, size_t count)
{
    *unindexed += count;
    if (*unindexed < FOLLOW_FROM)
        return;
    *unindexed = 0;
    pph_task_submit_aside(memory, pph_task_new(sizeof(pph_task), memory, &kind_follow));
}

static void *write_all(void *context)
{
    pph_memory *memory = context;
    batch work = {.sql = memory->connections[0]};
    size_t unindexed = 0;
    pthread_mutex_lock(&memory->mutex);
    while (!memory->stopping || memory->writes.first) {
        work.count = 0;
        for (pph_task *task; work.count < BATCH && (task = take(&memory->writes));)
            work.tasks[work.count++] = task;
        if (!work.count) {
            pthread_cond_wait(&memory->write, &memory->mutex);
            continue;
        }
        pthread_mutex_unlock(&memory->mutex);
        pph_error error = {0};
        if (pph_sql_transaction(work.sql, true, write_batch, &work, &error) != PPH_OK)
            for (size_t i = 0; i < work.count; i++)
                if (work.tasks[i]->error.status == PPH_OK)
                    work.tasks[i]->error = error; /* nothing of it is on disk */
        note_stored(memory, &unindexed, vectors_of(&work));
        for (size_t i = 0; i < work.count; i++)
            end_task(work.tasks[i]);
        pthread_mutex_lock(&memory->mutex);
    }
    pthread_mutex_unlock(&memory->mutex);
    return NULL;
}

/* Count the task in, or say why not. */
static pph_status admit(pph_memory *memory, pph_error *err)
{
    pthread_mutex_lock(&memory->mutex);
    bool closing = memory->closing, full = memory->tasks >= memory->options.queue;
    if (!closing && !full)
        memory->tasks++;
    pthread_mutex_unlock(&memory->mutex);
    if (closing)
        return PPH_FAIL(err, PPH_SHUTTING_DOWN, "%s: the memory is being closed", memory->path);
    if (full)
        return PPH_FAIL(err, PPH_QUEUE_FULL, "%s: %zu operations wait already; try again later",
                        memory->path, memory->options.queue);
    return PPH_OK;
}

pph_future *pph_task_submit(pph_memory *memory, pph_task *task, const pph_error *error)
{
    if (!task)
        return pph_future_failed(error);
    pph_error err = {0};
    pph_runtime *runtime = pph_shared_runtime();
    pph_status status = runtime ? PPH_OK : pph_runtime_check(&err);
    if (status == PPH_OK)
        status = pph_future_new(&task->future, runtime, NULL, NULL, &err);
    if (status == PPH_OK)
        status = admit(memory, &err);
    /* Two references: the caller's, and the task's. */
    pph_future *future = task->future;
    if (status != PPH_OK) {
        pph_future_free(&future);
        task_free(task);
        return pph_future_failed(&err);
    }
    task->stage = task->kind->prepare ? PPH_TASK_PREPARE
                  : task->kind->plan  ? PPH_TASK_PLAN
                                      : PPH_TASK_RUN;
    enqueue(task);
    return future;
}

void pph_task_submit_aside(pph_memory *memory, pph_task *task)
{
    if (!task)
        return;
    if (admit(memory, NULL) != PPH_OK) {
        task_free(task);
        return;
    }
    task->stage = PPH_TASK_RUN;
    enqueue(task);
}

void pph_task_continue(pph_task *task, pph_task *next)
{
    task->successor = next;
}

pph_status pph_task_ask(pph_task *task, size_t embedder, bool pictures, size_t count,
                        pph_task_embedding **out, pph_error *err)
{
    pph_task_embedding *one = &task->embeddings[task->embedding_count];
    *one = (pph_task_embedding){.embedder = embedder, .pictures = pictures};
    task->embedding_count++;
    one->inputs = pph_alloc_array(count, sizeof *one->inputs);
    one->places = pph_alloc_array(count, sizeof *one->places);
    if (!one->inputs || !one->places)
        return PPH_FAIL_MEMORY(err, count * (sizeof *one->inputs + sizeof *one->places));
    *out = one;
    return PPH_OK;
}

pph_status pph_task_vector(const pph_task_embedding *embedding, size_t at, float **out,
                           size_t *dimensions, pph_error *reason, pph_error *err)
{
    *out = NULL;
    if (pph_future_status(embedding->future, reason) != PPH_OK)
        return PPH_OK;
    const pph_embeddings *all = pph_future_value(embedding->future);
    if (!all || all->count != embedding->count || !all->dimensions ||
        all->dimensions > PPH_VECTORS_DIMENSIONS_MAX) {
        (void)PPH_FAIL(reason, PPH_MODEL_ERROR, "the embedder gave no vectors for its inputs");
        return PPH_OK;
    }
    if (all->errors && all->errors[at].status != PPH_OK) {
        *reason = all->errors[at];
        return PPH_OK;
    }
    const float *vector = all->vectors + at * all->dimensions;
    double squares = 0;
    for (size_t i = 0; i < all->dimensions; i++)
        squares += (double)vector[i] * (double)vector[i];
    if (!(squares > 0) || !isfinite(squares)) {
        (void)PPH_FAIL(reason, PPH_MODEL_ERROR, "the embedder gave a vector without a direction");
        return PPH_OK;
    }
    float *copy = pph_alloc_array(all->dimensions, sizeof *copy);
    if (!copy)
        return PPH_FAIL_MEMORY(err, all->dimensions * sizeof *copy);
    for (size_t i = 0; i < all->dimensions; i++)
        copy[i] = (float)((double)vector[i] / sqrt(squares));
    *out = copy;
    *dimensions = all->dimensions;
    return PPH_OK;
}

pph_status pph_memory_index(pph_memory *memory, size_t space, pph_sql *sql, pph_vectors **out,
                            pph_error *err)
{
    pph_memory_space *self = &memory->spaces[space];
    pthread_mutex_lock(&memory->mutex);
    *out = self->vectors;
    pthread_mutex_unlock(&memory->mutex);
    if (*out)
        return PPH_OK;
    int64_t row;
    size_t dimensions;
    PPH_TRY(pph_store_find_model(sql, self->embedder.name, &row, &dimensions, err));
    if (!row)
        return PPH_OK;
    if (!dimensions || dimensions > PPH_VECTORS_DIMENSIONS_MAX)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: vectors of %zu numbers are not used", memory->path,
                        dimensions);
    PPH_AUTO(pph_vectors_close) pph_vectors *made = NULL;
    PPH_AUTO(pph_free_at)
    char *path = pph_str_format("%s-vectors-%lld", memory->path, (long long)row);
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(memory->path));
    PPH_TRY(pph_vectors_open(&made, path, memory->id, row, dimensions, err));
    pthread_mutex_lock(&memory->mutex);
    if (!self->vectors)
        self->vectors = PPH_TAKE(made);
    *out = self->vectors;
    pthread_mutex_unlock(&memory->mutex);
    return PPH_OK;
}

static pph_status take_options(pph_memory *memory, const pph_memory_options *options,
                               pph_error *err)
{
    pph_memory_options wanted = options ? *options : pph_memory_defaults();
    if (wanted.embedder_count > PPH_SERVICE_EMBEDDERS ||
        (wanted.embedder_count && !wanted.embedders))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a memory takes up to %d embedders, not %zu",
                        PPH_SERVICE_EMBEDDERS, wanted.embedder_count);
    if (wanted.busy_ms < 0 || !(wanted.decay >= 0) || !(wanted.floor >= 0 && wanted.floor <= 1))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a memory's waiting time, decay and floor are not negative");
    for (size_t i = 0; i < wanted.embedder_count; i++) {
        const pph_memory_embedder *one = &wanted.embedders[i];
        if (!one->name || !*one->name || !one->embed || !(one->texts || one->pictures))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "an embedder needs a name, a function and something that it takes");
        for (size_t k = 0; k < i; k++)
            if (strcmp(one->name, wanted.embedders[k].name) == 0)
                return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "two embedders are named '%.128s'",
                                one->name);
        memory->spaces[i].embedder = *one;
        memory->spaces[i].embedder.name = pph_str_copy(pph_str_view(one->name));
        memory->space_count++;
        if (!memory->spaces[i].embedder.name)
            return PPH_FAIL_MEMORY(err, strlen(one->name));
    }
    memory->team = wanted.pool ? wanted.pool->team : NULL;
    pph_memory_options defaults = pph_memory_defaults();
    wanted.embedders = NULL;
    wanted.busy_ms = wanted.busy_ms ? wanted.busy_ms : defaults.busy_ms;
    wanted.queue = wanted.queue ? wanted.queue : defaults.queue;
    wanted.decay = wanted.decay > 0 ? wanted.decay : defaults.decay;
    wanted.floor = wanted.floor > 0 ? wanted.floor : defaults.floor;
    memory->options = wanted;
    return PPH_OK;
}

static pph_status start_threads(pph_memory *memory, pph_error *err)
{
    /* Held until all are named: a reader looks itself up. */
    pthread_mutex_lock(&memory->mutex);
    pph_status status = PPH_OK;
    for (size_t i = 0; status == PPH_OK && i < PPH_COUNT(memory->threads); i++) {
        status = pph_thread_start(&memory->threads[i], i ? "pph-recall" : "pph-remember",
                                  i ? read_all : write_all, memory, err);
        memory->thread_count += status == PPH_OK;
    }
    pthread_mutex_unlock(&memory->mutex);
    return status == PPH_OK || status == PPH_OUT_OF_MEMORY
               ? status
               : PPH_FAIL(err, PPH_SPAWN_FAILED, "a thread of the memory cannot be started");
}

pph_status pph_memory_open(pph_memory **out, const char *path, const pph_memory_options *options,
                           pph_error *err)
{
    if (!path || !*path)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the memory's path is empty");
    PPH_AUTO(pph_memory_close) pph_memory *memory = pph_alloc(sizeof *memory);
    if (!memory)
        return PPH_FAIL_MEMORY(err, sizeof *memory);
    memory->owner = getpid();
    pthread_mutex_init(&memory->mutex, NULL);
    pph_cond_init(&memory->write);
    pph_cond_init(&memory->read);
    pph_cond_init(&memory->idle);
    if (!(memory->path = pph_str_copy(pph_str_view(path))))
        return PPH_FAIL_MEMORY(err, strlen(path));
    PPH_TRY(take_options(memory, options, err));
    for (size_t i = 0; i < PPH_COUNT(memory->connections); i++) {
        PPH_TRY(pph_sql_open(&memory->connections[i], path, memory->options.busy_ms, err));
        PPH_TRY(pph_schema_prepare(memory->connections[i], err));
    }
    PPH_TRY(pph_store_id(memory->connections[0], memory->id, err));
    PPH_TRY(start_threads(memory, err));
    *out = PPH_TAKE(memory);
    return PPH_OK;
}

static void stop_threads(pph_memory *memory)
{
    pthread_mutex_lock(&memory->mutex);
    memory->closing = true;
    while (memory->tasks)
        pthread_cond_wait(&memory->idle, &memory->mutex);
    memory->stopping = true;
    pthread_cond_broadcast(&memory->write);
    pthread_cond_broadcast(&memory->read);
    pthread_mutex_unlock(&memory->mutex);
    for (size_t i = 0; i < memory->thread_count; i++)
        pthread_join(memory->threads[i], NULL);
}

void pph_memory_close(pph_memory **memory)
{
    pph_memory *old = memory ? *memory : NULL;
    if (!old)
        return;
    *memory = NULL;
    /* A forked child has neither the threads nor a right to the parent's connections. */
    if (old->owner != getpid())
        return;
    stop_threads(old);
    for (size_t i = 0; i < old->space_count; i++) {
        pph_vectors_close(&old->spaces[i].vectors);
        pph_free((void *)(uintptr_t)old->spaces[i].embedder.name);
    }
    for (size_t i = 0; i < PPH_COUNT(old->connections); i++)
        pph_sql_close(&old->connections[i]);
    pthread_cond_destroy(&old->write);
    pthread_cond_destroy(&old->read);
    pthread_cond_destroy(&old->idle);
    pthread_mutex_destroy(&old->mutex);
    pph_free(old->path);
    pph_free(old);
}
