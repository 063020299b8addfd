/* The walk over an index, and the check of it against the store.
 *
 * A walk goes over bytes alone, and keeps what can still be among the best: whose largest possible
 * product is not below the k-th largest of the least possible ones. What is left at the end, a few
 * hundred of a million, is looked up in the store and computed in f32; so the answer is exact. */
#include "memory/vectors_inside.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 1024,      /* vectors whose sums are kept at once */
    TEAM_FROM = 20000, /* vectors from which on the team is asked */
    KEEP_FROM = 16384, /* candidates from which on those that fell behind are dropped */
};

/* Rounding of f32 sums and of the scales, beyond what the slacks say. */
static const float rounding = 4e-6f;

typedef struct candidate {
    size_t at;
    float most; /* the largest that its product can be */
} candidate;

/* One member's walk.  best  the `limit` largest least products, a heap with the smallest on top */
typedef struct walk {
    candidate *items;
    size_t count, room;
    float *best;
    size_t best_count;
    pph_status status;
} walk;

typedef struct search {
    pph_vectors *vectors;
    const int8_t *query;
    pph_scan_bounds bounds;
    size_t count, limit;     /* count: of vectors that are looked at */
    const uint64_t *allowed; /* a bit for each; NULL: all */
    pph_cursor cursor;
    walk *walks;
} search;

static void sift_down(float *heap, size_t count, size_t at)
{
    for (;;) {
        size_t least = at, left = 2 * at + 1;
        if (left < count && heap[left] < heap[least])
            least = left;
        if (left + 1 < count && heap[left + 1] < heap[least])
            least = left + 1;
        if (least == at)
            return;
        float value = heap[at];
        heap[at] = heap[least];
        heap[least] = value;
        at = least;
    }
}

static void offer(walk *self, size_t limit, float value)
{
    if (self->best_count < limit) {
        size_t at = self->best_count++;
        for (; at && self->best[(at - 1) / 2] > value; at = (at - 1) / 2)
            self->best[at] = self->best[(at - 1) / 2];
        self->best[at] = value;
    } else if (value > self->best[0]) {
        self->best[0] = value;
        sift_down(self->best, limit, 0);
    }
}

static float threshold(const walk *self, size_t limit)
{
    return self->best_count < limit ? -INFINITY : self->best[0];
}

static void drop_behind(walk *self, float least)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].most >= least)
            self->items[kept++] = self->items[i];
    self->count = kept;
}

static bool keep(walk *self, candidate item)
{
    if (self->count == self->room) {
        size_t room = self->room ? 2 * self->room : 1024;
        candidate *grown = pph_resize(self->items, room, sizeof *grown);
        if (!grown)
            return false;
        self->items = grown;
        self->room = room;
    }
    self->items[self->count++] = item;
    return true;
}

static bool walk_block(const search *work, walk *self, size_t first, size_t count)
{
    const pph_scan_kernels *kernels = &pph_kernels_get()->scan;
    int32_t sums[BLOCK];
    uint32_t picked[BLOCK];
    float values[BLOCK];
    pph_vectors_chunk chunk = pph_vectors_chunk_at(work->vectors, first / PPH_VECTORS_CHUNK);
    size_t at = first % PPH_VECTORS_CHUNK, width = work->vectors->width;
    kernels->dots(sums, chunk.rows + at * width, width, count, work->query);
    size_t found = kernels->pick(picked, values, sums, chunk.scale + at, chunk.slack + at,
                                 &work->bounds, threshold(self, work->limit), count);
    for (size_t i = 0; i < found; i++) {
        size_t place = first + picked[i];
        if (work->allowed && !(work->allowed[place / 64] >> place % 64 & 1))
            continue;
        float reach = chunk.slack[at + picked[i]] * work->bounds.growth + work->bounds.spread;
        offer(self, work->limit, values[i] - reach);
        if (!keep(self, (candidate){place, values[i] + reach}))
            return false;
    }
    if (self->count > KEEP_FROM)
        drop_behind(self, threshold(self, work->limit));
    return true;
}

static bool any_allowed(const search *work, size_t begin, size_t end)
{
    if (!work->allowed)
        return true;
    for (size_t word = begin / 64; word <= (end - 1) / 64; word++)
        if (work->allowed[word])
            return true;
    return false;
}

static void walk_all(void *context, const pph_member *member)
{
    search *work = context;
    walk *self = &work->walks[member ? member->index : 0];
    size_t begin, end;
    while (self->status == PPH_OK && pph_team_next(&work->cursor, work->count, BLOCK, &begin, &end))
        if (any_allowed(work, begin, end) && !walk_block(work, self, begin, end - begin))
            self->status = PPH_OUT_OF_MEMORY;
}

/* A bit for each vector whose seq is among the allowed; both ascend. */
static pph_status mark_allowed(const pph_vectors *vectors, const pph_vectors_query *query,
                               size_t count, uint64_t **out, pph_error *err)
{
    size_t words = count / 64 + 1, i = 0;
    PPH_AUTO(pph_free_at) uint64_t *bits = pph_alloc_array(words, sizeof *bits);
    if (!bits)
        return PPH_FAIL_MEMORY(err, words * sizeof *bits);
    for (size_t at = 0; at < count && i < query->allowed_count; at++) {
        int64_t seq =
            pph_vectors_chunk_at(vectors, at / PPH_VECTORS_CHUNK).seq[at % PPH_VECTORS_CHUNK];
        while (i < query->allowed_count && query->allowed[i] < seq)
            i++;
        if (i < query->allowed_count && query->allowed[i] == seq)
            bits[at / 64] |= (uint64_t)1 << at % 64;
    }
    *out = PPH_TAKE(bits);
    return PPH_OK;
}

/* The vectors up to `newest`. */
static size_t visible(const pph_vectors *vectors, int64_t newest)
{
    size_t low = 0, high = (size_t)atomic_load(&vectors->header->count);
    high = PPH_MIN(high, vectors->chunk_count * PPH_VECTORS_CHUNK);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        pph_vectors_chunk chunk = pph_vectors_chunk_at(vectors, middle / PPH_VECTORS_CHUNK);
        if (chunk.seq[middle % PPH_VECTORS_CHUNK] <= newest)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Put a hit where it belongs among at most `limit`. */
static void insert(pph_vectors_hit *hits, size_t *count, size_t limit, pph_vectors_hit hit)
{
    size_t at = *count;
    while (at && (hits[at - 1].score < hit.score ||
                  (hits[at - 1].score == hit.score && hits[at - 1].seq > hit.seq)))
        at--;
    if (at >= limit)
        return;
    size_t last = *count < limit ? (*count)++ : limit - 1;
    memmove(hits + at + 1, hits + at, (last - at) * sizeof *hits);
    hits[at] = hit;
}

static int by_most(const void *a, const void *b)
{
    float x = ((const candidate *)a)->most, y = ((const candidate *)b)->most;
    return (x < y) - (x > y);
}

/* The candidates in f32, the most promising first, until none that is left can come among the best. */
static pph_status settle(const search *work, walk *all, pph_sql *sql,
                         const pph_vectors_query *query, pph_vectors_hit *hits, size_t *count,
                         pph_error *err)
{
    const pph_tensor_kernels *kernels = &pph_kernels_get()->tensor;
    size_t dimensions = work->vectors->dimensions;
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_free_at) float *vector = pph_alloc_array(dimensions, sizeof *vector);
    if (!vector)
        return PPH_FAIL_MEMORY(err, dimensions * sizeof *vector);
    PPH_TRY(pph_sql_prepare(sql, "SELECT vector FROM vectors WHERE seq = ?1", &statement, err));
    if (all->count)
        qsort(all->items, all->count, sizeof *all->items, by_most);
    for (size_t i = 0; i < all->count; i++) {
        const candidate *item = &all->items[i];
        if (*count == query->limit && item->most < hits[*count - 1].score)
            break;
        pph_vectors_chunk chunk = pph_vectors_chunk_at(work->vectors, item->at / PPH_VECTORS_CHUNK);
        int64_t seq = chunk.seq[item->at % PPH_VECTORS_CHUNK];
        bool row;
        pph_sql_reset(statement);
        pph_sql_bind_integer(statement, 1, seq);
        PPH_TRY(pph_sql_step(statement, &row, err));
        pph_str blob = row ? pph_sql_text(statement, 0) : (pph_str){0};
        if (blob.size != dimensions * sizeof *vector)
            continue; /* deleted since, as this transaction sees it */
        memcpy(vector, blob.data, blob.size);
        insert(hits, count, query->limit,
               (pph_vectors_hit){seq, kernels->dot(vector, query->query, dimensions)});
    }
    return PPH_OK;
}

static void walks_free(search *work, size_t members)
{
    for (size_t i = 0; work->walks && i < members; i++) {
        pph_free(work->walks[i].items);
        pph_free(work->walks[i].best);
    }
    pph_free(PPH_TAKE(work->walks));
}

/* All walks' candidates in the first one's list, less those that another's best have overtaken. */
static pph_status join(search *work, size_t members, pph_error *err)
{
    walk *first = &work->walks[0];
    for (size_t i = 0; i < members; i++)
        if (work->walks[i].status != PPH_OK)
            return PPH_FAIL_MEMORY(err, work->walks[i].room * sizeof(candidate));
    for (size_t i = 1; i < members; i++) {
        for (size_t k = 0; k < work->walks[i].best_count; k++)
            offer(first, work->limit, work->walks[i].best[k]);
        for (size_t k = 0; k < work->walks[i].count; k++)
            if (!keep(first, work->walks[i].items[k]))
                return PPH_FAIL_MEMORY(err, first->room * sizeof(candidate));
    }
    drop_behind(first, threshold(first, work->limit));
    return PPH_OK;
}

static pph_status walk_and_settle(search *work, pph_team *team, pph_sql *sql,
                                  const pph_vectors_query *query, pph_vectors_hit *hits,
                                  size_t *count, pph_error *err)
{
    bool together = team && work->count >= TEAM_FROM;
    size_t members = together ? (size_t)pph_team_threads(team) : 1;
    work->walks = pph_alloc_array(members, sizeof *work->walks);
    pph_status status = work->walks ? PPH_OK : PPH_FAIL_MEMORY(err, members);
    for (size_t i = 0; status == PPH_OK && i < members; i++) {
        work->walks[i].best = pph_alloc_array(work->limit, sizeof(float));
        if (!work->walks[i].best)
            status = PPH_FAIL_MEMORY(err, work->limit * sizeof(float));
    }
    if (status == PPH_OK) {
        if (together)
            pph_team_run(team, walk_all, work);
        else
            walk_all(work, NULL);
        status = join(work, members, err);
    }
    if (status == PPH_OK)
        status = settle(work, &work->walks[0], sql, query, hits, count, err);
    walks_free(work, members);
    return status;
}

/* The query in signed bytes, and the bounds that follow from what they leave out. */
static void set_query(search *work, const float *query, int8_t *bytes, uint8_t *unsigned_bytes)
{
    float scale, slack;
    size_t width = work->vectors->width;
    pph_vectors_to_bytes(query, work->vectors->dimensions, width, unsigned_bytes, &scale, &slack);
    int64_t sum = 0;
    for (size_t i = 0; i < width; i++) {
        bytes[i] = (int8_t)((int)unsigned_bytes[i] - 128);
        sum += bytes[i];
    }
    work->query = bytes;
    /* |q.v - value| <= |rest of q| |bytes of v| + |q| |rest of v|, with |q| = 1, |bytes of v| <= 1 + rest */
    work->bounds = (pph_scan_bounds){(int32_t)(128 * sum), scale, 1 + slack, slack + rounding};
}

pph_status pph_vectors_search(pph_vectors *vectors, pph_sql *sql, const pph_vectors_query *query,
                              pph_vectors_hit *hits, size_t *count, pph_error *err)
{
    *count = 0;
    PPH_AUTO(pph_free_at) uint8_t *bytes = pph_alloc_aligned(2 * vectors->width);
    PPH_AUTO(pph_free_at) uint64_t *allowed = NULL;
    if (!bytes)
        return PPH_FAIL_MEMORY(err, 2 * vectors->width);
    search work = {.vectors = vectors, .limit = query->limit};
    set_query(&work, query->query, (int8_t *)bytes, bytes + vectors->width);
    pthread_rwlock_rdlock(&vectors->lock);
    pph_status status = PPH_OK;
    work.count = vectors->header ? visible(vectors, query->newest) : 0;
    if (query->allowed)
        status = mark_allowed(vectors, query, work.count, &allowed, err);
    work.allowed = allowed;
    if (status == PPH_OK && work.count && query->limit)
        status = walk_and_settle(&work, query->team, sql, query, hits, count, err);
    pthread_rwlock_unlock(&vectors->lock);
    return status;
}

static void complain(uint64_t *problems, char *problem, size_t room, const pph_vectors *vectors,
                     int64_t seq, const char *what)
{
    if (!(*problems)++)
        snprintf(problem, room, "%s: vector %lld %s", vectors->path, (long long)seq, what);
}

/* What the index says at `at` of a vector of the store, against what it ought to say. */
static void compare(const pph_vectors *vectors, size_t at, const float *vector, uint8_t *bytes,
                    uint64_t *problems, char *problem, size_t room)
{
    pph_vectors_chunk chunk = pph_vectors_chunk_at(vectors, at / PPH_VECTORS_CHUNK);
    size_t place = at % PPH_VECTORS_CHUNK, width = vectors->width;
    float scale, slack;
    pph_vectors_to_bytes(vector, vectors->dimensions, width, bytes, &scale, &slack);
    if (memcmp(bytes, chunk.rows + place * width, width) != 0 || scale != chunk.scale[place] ||
        slack != chunk.slack[place])
        complain(problems, problem, room, vectors, chunk.seq[place], "differs in the index");
}

/* Pass over what the index has before `seq`; the place of it or of what follows. */
static size_t pass_over(const pph_vectors *vectors, size_t at, int64_t seq, uint64_t *problems,
                        char *problem, size_t room)
{
    for (size_t count = (size_t)atomic_load(&vectors->header->count); at < count; at++) {
        pph_vectors_chunk chunk = pph_vectors_chunk_at(vectors, at / PPH_VECTORS_CHUNK);
        size_t place = at % PPH_VECTORS_CHUNK;
        if (chunk.seq[place] >= seq)
            break;
        if (!isnan(chunk.scale[place]))
            complain(problems, problem, room, vectors, chunk.seq[place],
                     "is in the index but not in the memory");
    }
    return at;
}

static pph_status verify_locked(const pph_vectors *vectors, pph_sql *sql, uint64_t *problems,
                                char *problem, size_t room, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_free_at) uint8_t *bytes = pph_alloc_aligned(vectors->width);
    PPH_AUTO(pph_free_at) float *vector = pph_alloc_array(vectors->dimensions, sizeof *vector);
    if (!bytes || !vector)
        return PPH_FAIL_MEMORY(err, vectors->width);
    PPH_TRY(pph_sql_prepare(sql, "SELECT seq, vector FROM vectors WHERE model = ?1 ORDER BY seq",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, vectors->model);
    size_t at = 0, count = (size_t)atomic_load(&vectors->header->count);
    for (bool row;;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row) /* what the index has beyond may have come since this transaction began */
            return PPH_OK;
        int64_t seq = pph_sql_integer(statement, 0);
        at = pass_over(vectors, at, seq, problems, problem, room);
        pph_str blob = pph_sql_text(statement, 1);
        if (blob.size != vectors->dimensions * sizeof *vector) {
            complain(problems, problem, room, vectors, seq, "is not of its model's length");
            continue;
        }
        if (at >= count ||
            pph_vectors_chunk_at(vectors, at / PPH_VECTORS_CHUNK).seq[at % PPH_VECTORS_CHUNK] !=
                seq) {
            complain(problems, problem, room, vectors, seq, "is missing in the index");
            continue;
        }
        memcpy(vector, blob.data, blob.size);
        compare(vectors, at++, vector, bytes, problems, problem, room);
    }
}

pph_status pph_vectors_verify(pph_vectors *vectors, pph_sql *sql, uint64_t *problems, char *problem,
                              size_t room, pph_error *err)
{
    pthread_rwlock_rdlock(&vectors->lock);
    pph_status status = vectors->header
                            ? verify_locked(vectors, sql, problems, problem, room, err)
                            : PPH_FAIL(err, PPH_IO, "%s: the index is not open", vectors->path);
    pthread_rwlock_unlock(&vectors->lock);
    return status;
}
