/* A store, served: what the files that make the public operations share.
 *
 * An operation is a task. Its way:
 *
 *   submit -> (prepare, on a reader) -> (embed, in the pool) -> run, on the writer or a reader -> told
 *
 * One thread writes, on a connection of its own: whatever waits when it comes to look is stored in one
 * transaction, each task in a savepoint, and told once that is on disk. Readers have a connection
 * each. No thread waits for a model: a task whose vectors are being made is in no queue, and comes back
 * to one when the last of them is there. */
#ifndef PPH_MEMORY_SERVICE_H
#define PPH_MEMORY_SERVICE_H

#include "memory/filter.h"
#include "memory/sql.h"
#include "memory/vectors.h"
#include "runtime/promise.h"
#include <paraphym/memory.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

enum {
    PPH_SERVICE_EMBEDDERS = 4,
    PPH_SERVICE_READERS = 2,
    PPH_SERVICE_EMBEDDINGS = 2 * PPH_SERVICE_EMBEDDERS, /* of a task: texts and pictures each */
};

typedef struct pph_task pph_task;

/* What one embedder is asked for a task.
 * inputs  borrowed by it;  places  which item of the task each input is of
 * future  while and after it is asked */
typedef struct pph_task_embedding {
    size_t embedder;
    bool pictures;
    pph_input *inputs;
    size_t *places;
    size_t count;
    pph_future *future;
} pph_task_embedding;

/* writes   it runs on the writer, inside a transaction
 * prepare  on a reader, before anything is embedded: reads files; NULL when there are none
 * plan     on a reader: fills in task->embeddings; NULL when there are none
 * run      gives task->value; a failure leaves nothing of it in the store. A reader's makes
 *          transactions of its own
 * free     what it holds beyond pph_task, which is its first member */
typedef struct pph_task_kind {
    bool writes;
    pph_status (*prepare)(pph_task *task, pph_error *err);
    pph_status (*plan)(pph_task *task, pph_sql *sql, pph_error *err);
    pph_status (*run)(pph_task *task, pph_sql *sql, pph_error *err);
    void (*free)(pph_task *task);
} pph_task_kind;

struct pph_task {
    const pph_task_kind *kind;
    pph_memory *memory;
    pph_future *future; /* NULL: nobody waits for it */
    pph_task *next;
    enum { PPH_TASK_PREPARE, PPH_TASK_PLAN, PPH_TASK_RUN } stage;
    pph_task_embedding embeddings[PPH_SERVICE_EMBEDDINGS];
    size_t embedding_count;
    atomic_size_t pending; /* embeddings that are not done, and one while they are being asked */
    void *value;
    pph_release *release;
    pph_error error;
    pph_task *successor;
};

typedef struct pph_task_queue {
    pph_task *first, **last;
} pph_task_queue;

/* A space of vectors: an embedder's, opened when the store first has vectors of it. */
typedef struct pph_memory_space {
    pph_memory_embedder embedder; /* its name a copy */
    pph_vectors *vectors;
} pph_memory_space;

struct pph_memory {
    char *path;
    pph_memory_options options; /* with the defaults filled in */
    pph_memory_space spaces[PPH_SERVICE_EMBEDDERS];
    size_t space_count;
    uint8_t id[16];
    pph_team *team;
    pid_t owner;
    pthread_mutex_t mutex;      /* guards all below, and `vectors` of the spaces */
    pthread_cond_t write, read; /* the threads': something to do, or the end */
    pthread_cond_t idle;        /* who closes waits for the last task */
    pph_task_queue writes, reads;
    size_t tasks;
    bool closing, stopping;
    pthread_t threads[1 + PPH_SERVICE_READERS];
    size_t thread_count;
    pph_sql *connections[1 + PPH_SERVICE_READERS]; /* the writer's first; a thread's own */
};

/* A task of `size` bytes, zeroed but for kind and memory. NULL: no memory. */
pph_task *pph_task_new(size_t size, pph_memory *memory, const pph_task_kind *kind);

/* Hand a task over, with *error when it could not even be made (task is then NULL). Never NULL. */
pph_future *pph_task_submit(pph_memory *memory, pph_task *task, const pph_error *error);
/* One that nobody waits for; dropped where there is no room. */
void pph_task_submit_aside(pph_memory *memory, pph_task *task);

/* Called in a writer's run: once what this task has written is on disk, `next` goes on in its place, and
 * has its future; else `next` is given up with it. */
void pph_task_continue(pph_task *task, pph_task *next);

/* Ask for inputs of one embedder: room for `count`, to be filled in. */
PPH_CHECKED pph_status pph_task_ask(pph_task *task, size_t embedder, bool pictures, size_t count,
                                    pph_task_embedding **out, pph_error *err);
/* The vector of one input, copied into a piece of heap and brought to unit length; NULL where there is
 * none, with the reason. A vector of zeros is none. */
PPH_CHECKED pph_status pph_task_vector(const pph_task_embedding *embedding, size_t at, float **out,
                                       size_t *dimensions, pph_error *reason, pph_error *err);

/* The index of a space; NULL while the store has no vectors of it. */
PPH_CHECKED pph_status pph_memory_index(pph_memory *memory, size_t space, pph_sql *sql,
                                        pph_vectors **out, pph_error *err);

/* Milliseconds since 1970, and what decay is worked out with. */
int64_t pph_memory_now(void);
pph_filter_time pph_memory_time(const pph_memory *memory);

#endif
