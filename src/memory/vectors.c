/* The index's file: made, mapped, brought up to date. Nothing in it is believed before it is checked
 * against its own size and the store; what does not fit is made anew. */
#include "memory/vectors_inside.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "compute/kernels_scan.h"
#include "memory/ident.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_BYTES = 4096, VERSION = 1 };
static const char magic[8] = "PPHVECT";

static pph_status fail_io(const pph_vectors *vectors, const char *what, pph_error *err)
{
    char reason[128];
    int number = errno;
    return PPH_FAIL(err, pph_error_from_errno(number), "%s: the index of vectors cannot be %s: %s",
                    vectors->path, what, pph_error_system(number, reason, sizeof reason));
}

/* Which start of the machine this is: zeros when the system does not tell. */
static void read_boot(uint8_t out[16])
{
    pph_buffer text = PPH_BUFFER_LIMIT(64);
    memset(out, 0, 16);
    if (pph_file_read("/proc/sys/kernel/random/boot_id", &text, NULL) == PPH_OK) {
        pph_memory_id id;
        while (text.size && text.data[text.size - 1] == '\n')
            text.size--;
        const char *line = pph_buffer_text(&text);
        if (line && pph_memory_id_parse(&id, line, NULL) == PPH_OK)
            memcpy(out, id.bytes, 16);
    }
    pph_buffer_deinit(&text);
}

pph_vectors_chunk pph_vectors_chunk_at(const pph_vectors *vectors, size_t index)
{
    uint8_t *rows = vectors->mapped[index];
    uint8_t *scale = rows + PPH_VECTORS_CHUNK * vectors->width;
    uint8_t *slack = scale + PPH_VECTORS_CHUNK * sizeof(float);
    uint8_t *seq = slack + PPH_VECTORS_CHUNK * sizeof(float);
    return (pph_vectors_chunk){rows, (float *)(void *)scale, (float *)(void *)slack,
                               (int64_t *)(void *)seq};
}

void pph_vectors_to_bytes(const float *vector, size_t dimensions, size_t width, uint8_t *bytes,
                          float *scale, float *slack)
{
    float most = 0;
    for (size_t i = 0; i < dimensions; i++)
        most = fmaxf(most, fabsf(vector[i]));
    float step = most / 127, inverse = most > 0 ? 127 / most : 0;
    double rest = 0;
    for (size_t i = 0; i < dimensions; i++) {
        long rounded = lrintf(vector[i] * inverse);
        rounded = PPH_MAX(-127L, PPH_MIN(127L, rounded));
        double difference = (double)vector[i] - (double)step * (double)rounded;
        rest += difference * difference;
        bytes[i] = (uint8_t)(rounded + 128);
    }
    memset(bytes + dimensions, 128, width - dimensions);
    *scale = step;
    *slack = nextafterf((float)sqrt(rest), INFINITY);
}

static void unmap(pph_vectors *vectors)
{
    for (size_t i = 0; i < vectors->chunk_count; i++)
        munmap(vectors->mapped[i], vectors->chunk_bytes);
    vectors->chunk_count = 0;
    if (vectors->header)
        munmap(vectors->header, HEADER_BYTES);
    vectors->header = NULL;
    if (vectors->fd >= 0)
        close(vectors->fd);
    vectors->fd = -1;
}

/* The chunks that `count` vectors lie in, mapped. */
static pph_status map_chunks(pph_vectors *vectors, uint64_t count, pph_error *err)
{
    uint64_t chunks = (count + PPH_VECTORS_CHUNK - 1) / PPH_VECTORS_CHUNK;
    if (chunks > PPH_VECTORS_CHUNKS_MAX)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s: more than %lld vectors", vectors->path,
                        (long long)PPH_VECTORS_CHUNKS_MAX * PPH_VECTORS_CHUNK);
    while (vectors->chunk_count < chunks) {
        off_t at = HEADER_BYTES + (off_t)(vectors->chunk_count * vectors->chunk_bytes);
        void *mapped =
            mmap(NULL, vectors->chunk_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vectors->fd, at);
        if (mapped == MAP_FAILED)
            return fail_io(vectors, "mapped", err);
        vectors->mapped[vectors->chunk_count++] = mapped;
    }
    return PPH_OK;
}

/* Whether the mapped header, in a file of `size` bytes, is one of ours that can be trusted. */
static bool fits(const pph_vectors *vectors, const pph_vectors_header *header, uint64_t size)
{
    uint64_t count = atomic_load(&header->count);
    uint64_t chunks = (count + PPH_VECTORS_CHUNK - 1) / PPH_VECTORS_CHUNK;
    return memcmp(header->magic, magic, sizeof magic) == 0 && header->version == VERSION &&
           header->dimensions == vectors->dimensions && header->model == vectors->model &&
           memcmp(header->store, vectors->store, 16) == 0 && chunks <= PPH_VECTORS_CHUNKS_MAX &&
           size >= HEADER_BYTES + chunks * vectors->chunk_bytes && header->dead <= count &&
           (!header->open || memcmp(header->boot, vectors->boot, 16) == 0);
}

/* Open the file that is there, or an empty one made in its place. Under the write lock, and the lock on
 * the file that was open before, if any, given up. */
static pph_status attach(pph_vectors *vectors, bool anew, pph_error *err)
{
    unmap(vectors);
    /* Made anew by another name: who still walks the old one keeps it whole. */
    if (anew && unlink(vectors->path) != 0 && errno != ENOENT)
        return fail_io(vectors, "replaced", err);
    vectors->fd = open(vectors->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (vectors->fd < 0)
        return fail_io(vectors, "opened", err);
    if (flock(vectors->fd, LOCK_EX) != 0)
        return fail_io(vectors, "locked", err);
    struct stat info;
    if (fstat(vectors->fd, &info) != 0)
        return fail_io(vectors, "read", err);
    if (info.st_size < HEADER_BYTES && ftruncate(vectors->fd, HEADER_BYTES) != 0)
        return fail_io(vectors, "written", err);
    void *mapped = mmap(NULL, HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vectors->fd, 0);
    if (mapped == MAP_FAILED)
        return fail_io(vectors, "mapped", err);
    vectors->header = mapped;
    if (info.st_size < HEADER_BYTES) {
        pph_vectors_header *header = mapped;
        header->version = VERSION;
        header->dimensions = (uint32_t)vectors->dimensions;
        header->model = vectors->model;
        memcpy(header->store, vectors->store, 16);
        memcpy(header->boot, vectors->boot, 16);
        memcpy(header->magic, magic, sizeof magic);
        info.st_size = HEADER_BYTES;
    }
    if (!fits(vectors, mapped, (uint64_t)info.st_size)) {
        if (anew)
            return PPH_FAIL(err, PPH_IO, "%s: the index of vectors cannot be made", vectors->path);
        pph_log(PPH_LOG_INFO, "%s: the index of vectors is made anew", vectors->path);
        return attach(vectors, true, err);
    }
    return PPH_OK;
}

static void unlock_file(const pph_vectors *vectors)
{
    if (vectors->fd >= 0)
        (void)flock(vectors->fd, LOCK_UN);
}

pph_status pph_vectors_open(pph_vectors **out, const char *path, const uint8_t store[16],
                            int64_t model, size_t dimensions, pph_error *err)
{
    PPH_AUTO(pph_vectors_close) pph_vectors *vectors = pph_alloc(sizeof *vectors);
    if (!vectors)
        return PPH_FAIL_MEMORY(err, sizeof *vectors);
    vectors->fd = -1;
    pthread_rwlock_init(&vectors->lock, NULL);
    vectors->path = pph_str_copy(pph_str_view(path));
    if (!vectors->path)
        return PPH_FAIL_MEMORY(err, strlen(path));
    memcpy(vectors->store, store, 16);
    read_boot(vectors->boot);
    vectors->model = model;
    vectors->dimensions = dimensions;
    vectors->width = (dimensions + PPH_SCAN_ALIGN - 1) / PPH_SCAN_ALIGN * PPH_SCAN_ALIGN;
    /* A multiple of the page: PPH_VECTORS_CHUNK alone is four of them. */
    vectors->chunk_bytes =
        PPH_VECTORS_CHUNK * (vectors->width + 2 * sizeof(float) + sizeof(int64_t));
    pph_status status = attach(vectors, false, err);
    unlock_file(vectors);
    PPH_TRY(status);
    *out = PPH_TAKE(vectors);
    return PPH_OK;
}

void pph_vectors_close(pph_vectors **vectors)
{
    pph_vectors *old = *vectors;
    *vectors = NULL;
    if (!old)
        return;
    if (old->header && old->header->open && flock(old->fd, LOCK_EX) == 0) {
        /* All of it on disk, then the word that it is: a machine that stops between has it made anew. */
        if (fsync(old->fd) == 0)
            old->header->open = 0;
        (void)flock(old->fd, LOCK_UN);
    }
    unmap(old);
    pthread_rwlock_destroy(&old->lock);
    pph_free(old->path);
    pph_free(old);
}

int64_t pph_vectors_model(const pph_vectors *vectors)
{
    return vectors->model;
}

size_t pph_vectors_dimensions(const pph_vectors *vectors)
{
    return vectors->dimensions;
}

size_t pph_vectors_count(pph_vectors *vectors)
{
    pthread_rwlock_rdlock(&vectors->lock);
    uint64_t count = vectors->header ? atomic_load(&vectors->header->count) : 0;
    uint64_t dead = vectors->header ? vectors->header->dead : 0;
    pthread_rwlock_unlock(&vectors->lock);
    return count > dead ? (size_t)(count - dead) : 0;
}

static int64_t last_seq(const pph_vectors *vectors)
{
    uint64_t count = atomic_load(&vectors->header->count);
    if (!count)
        return 0;
    size_t at = (size_t)count - 1;
    return pph_vectors_chunk_at(vectors, at / PPH_VECTORS_CHUNK).seq[at % PPH_VECTORS_CHUNK];
}

static pph_status one_number(pph_sql *sql, const char *text, int64_t model, int64_t *out,
                             pph_error *err)
{
    pph_sql_statement *statement;
    bool row;
    PPH_TRY(pph_sql_prepare(sql, text, &statement, err));
    pph_sql_bind_integer(statement, 1, model);
    PPH_TRY(pph_sql_step(statement, &row, err));
    *out = row ? pph_sql_integer(statement, 0) : 0;
    pph_sql_reset(statement);
    return PPH_OK;
}

/* Write one behind the last; it counts once the header says so. */
static pph_status append(pph_vectors *vectors, int64_t seq, pph_str blob, float *room,
                         pph_error *err)
{
    uint64_t count = atomic_load(&vectors->header->count);
    if (blob.size != vectors->dimensions * sizeof(float))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: vector %lld has %zu bytes, its model's have %zu; 'memory verify' "
                        "tells more",
                        vectors->path, (long long)seq, blob.size,
                        vectors->dimensions * sizeof(float));
    if (count % PPH_VECTORS_CHUNK == 0) {
        off_t size = HEADER_BYTES + (off_t)((count / PPH_VECTORS_CHUNK + 1) * vectors->chunk_bytes);
        /* Blocks of its own now: a full disk is an answer here, and a fault when written to later. */
        int failed = posix_fallocate(vectors->fd, 0, size);
        if (failed) {
            errno = failed;
            return fail_io(vectors, "written", err);
        }
    }
    PPH_TRY(map_chunks(vectors, count + 1, err));
    memcpy(room, blob.data, blob.size);
    pph_vectors_chunk chunk = pph_vectors_chunk_at(vectors, count / PPH_VECTORS_CHUNK);
    size_t at = count % PPH_VECTORS_CHUNK;
    pph_vectors_to_bytes(room, vectors->dimensions, vectors->width,
                         chunk.rows + at * vectors->width, &chunk.scale[at], &chunk.slack[at]);
    chunk.seq[at] = seq;
    vectors->header->open = 1;
    atomic_store(&vectors->header->count, count + 1);
    return PPH_OK;
}

static pph_status append_new(pph_vectors *vectors, pph_sql *sql, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_free_at) float *room = pph_alloc_array(vectors->dimensions, sizeof *room);
    if (!room)
        return PPH_FAIL_MEMORY(err, vectors->dimensions * sizeof *room);
    PPH_TRY(pph_sql_prepare(sql,
                            "SELECT seq, vector FROM vectors WHERE model = ?1 AND seq > ?2 "
                            "ORDER BY seq",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, vectors->model);
    pph_sql_bind_integer(statement, 2, last_seq(vectors));
    for (bool row;;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            return PPH_OK;
        PPH_TRY(
            append(vectors, pph_sql_integer(statement, 0), pph_sql_text(statement, 1), room, err));
    }
}

/* The place of a seq, or SIZE_MAX. */
static size_t find(const pph_vectors *vectors, int64_t seq)
{
    size_t low = 0, high = (size_t)atomic_load(&vectors->header->count);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        pph_vectors_chunk chunk = pph_vectors_chunk_at(vectors, middle / PPH_VECTORS_CHUNK);
        int64_t here = chunk.seq[middle % PPH_VECTORS_CHUNK];
        if (here == seq)
            return middle;
        if (here < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

static pph_status mark_gone(pph_vectors *vectors, pph_sql *sql, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(sql,
                            "SELECT step, seq FROM gone WHERE model = ?1 AND step > ?2 "
                            "ORDER BY step",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, vectors->model);
    pph_sql_bind_integer(statement, 2, vectors->header->gone);
    for (bool row;;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            return PPH_OK;
        size_t at = find(vectors, pph_sql_integer(statement, 1));
        vectors->header->open = 1;
        if (at != SIZE_MAX) {
            pph_vectors_chunk chunk = pph_vectors_chunk_at(vectors, at / PPH_VECTORS_CHUNK);
            float *scale = &chunk.scale[at % PPH_VECTORS_CHUNK];
            vectors->header->dead += !isnan(*scale);
            *scale = NAN;
        }
        vectors->header->gone = pph_sql_integer(statement, 0);
    }
}

/* Another process has put a new file in the place of the one that is mapped. */
static bool replaced(const pph_vectors *vectors)
{
    struct stat ours, theirs;
    return fstat(vectors->fd, &ours) != 0 || stat(vectors->path, &theirs) != 0 ||
           ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev;
}

/* What the store has of this model.
 * newest, gone            the last that are there
 * pruned                  the last of gone that is not there any more: who has not seen it begins anew
 * newest_ever, gone_ever  the last that were given to any model, also when they are deleted since */
typedef struct store_state {
    int64_t newest, gone, pruned, newest_ever, gone_ever;
} store_state;

static pph_status read_state(const pph_vectors *vectors, pph_sql *sql, store_state *out,
                             pph_error *err)
{
    static const char *const ever = "SELECT seq FROM sqlite_sequence WHERE name = CASE ?1 WHEN 1 "
                                    "THEN 'gone' ELSE 'vectors' END";
    PPH_TRY(one_number(sql, "SELECT max(seq) FROM vectors WHERE model = ?1", vectors->model,
                       &out->newest, err));
    PPH_TRY(one_number(sql, "SELECT max(step) FROM gone WHERE model = ?1", vectors->model,
                       &out->gone, err));
    PPH_TRY(one_number(sql, "SELECT pruned FROM models WHERE id = ?1", vectors->model, &out->pruned,
                       err));
    PPH_TRY(one_number(sql, ever, 0, &out->newest_ever, err));
    return one_number(sql, ever, 1, &out->gone_ever, err);
}

typedef struct following {
    pph_vectors *vectors;
    pph_sql *sql;
} following;

/* In a transaction that was begun under the file's lock, and so sees all that the index has, unless the
 * store was put back to what it was before. */
static pph_status follow_inside(void *context, pph_error *err)
{
    following *work = context;
    pph_vectors *vectors = work->vectors;
    store_state state;
    PPH_TRY(read_state(vectors, work->sql, &state, err));
    uint64_t count = atomic_load(&vectors->header->count), dead = vectors->header->dead;
    PPH_TRY(map_chunks(vectors, count, err));
    bool sparse = dead > 1024 && dead > count / 4;
    if (sparse || last_seq(vectors) > state.newest_ever ||
        vectors->header->gone > state.gone_ever || vectors->header->gone < state.pruned) {
        PPH_TRY(attach(vectors, true, err));
        vectors->header->gone = PPH_MAX(state.gone, state.pruned);
    }
    PPH_TRY(append_new(vectors, work->sql, err));
    return mark_gone(vectors, work->sql, err);
}

static pph_status follow_locked(pph_vectors *vectors, pph_sql *sql, pph_error *err)
{
    if (vectors->fd < 0 || !vectors->header || replaced(vectors))
        PPH_TRY(attach(vectors, false, err));
    else if (flock(vectors->fd, LOCK_EX) != 0)
        return fail_io(vectors, "locked", err);
    following work = {vectors, sql};
    return pph_sql_transaction(sql, false, follow_inside, &work, err);
}

int64_t pph_vectors_followed(pph_vectors *vectors)
{
    pthread_rwlock_rdlock(&vectors->lock);
    int64_t gone = vectors->header ? vectors->header->gone : 0;
    pthread_rwlock_unlock(&vectors->lock);
    return gone;
}

pph_status pph_vectors_newest(const pph_vectors *vectors, pph_sql *sql, int64_t *newest,
                              pph_error *err)
{
    return one_number(sql, "SELECT max(seq) FROM vectors WHERE model = ?1", vectors->model, newest,
                      err);
}

pph_status pph_vectors_follow(pph_vectors *vectors, pph_sql *sql, pph_error *err)
{
    store_state state;
    PPH_TRY(read_state(vectors, sql, &state, err));
    pthread_rwlock_rdlock(&vectors->lock);
    uint64_t count = vectors->header ? atomic_load(&vectors->header->count) : 0;
    bool behind = !vectors->header || replaced(vectors) ||
                  count > vectors->chunk_count * (uint64_t)PPH_VECTORS_CHUNK ||
                  vectors->header->gone < PPH_MAX(state.gone, state.pruned) ||
                  last_seq(vectors) < state.newest || vectors->header->gone > state.gone_ever ||
                  last_seq(vectors) > state.newest_ever;
    pthread_rwlock_unlock(&vectors->lock);
    if (!behind)
        return PPH_OK;
    pthread_rwlock_wrlock(&vectors->lock);
    pph_status status = follow_locked(vectors, sql, err);
    unlock_file(vectors);
    pthread_rwlock_unlock(&vectors->lock);
    return status;
}
