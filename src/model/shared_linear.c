/* The layers in memory by their hashes. Owns an entry a layer, and the layers; a list is enough for the some
 * hundred of a tower, looked through once a layer of a load. The lock is held neither while anything is hashed or
 * packed, nor while it is freed. */
#include "model/shared_linear.h"

#include "base/hash.h"
#include "base/mem.h"
#include "compute/blocks.h"
#include "compute/kernels.h"
#include <pthread.h>
#include <string.h>

/* HASH: bytes of one. CHUNK: numbers that are widened and hashed at once, about; part of what a hash means. */
enum { HASH = 16, CHUNK = 16384 };

/* linear   NULL while it is packed
 * holders  a sharer that has it twice counts twice
 * part     of the sharers */
typedef struct entry {
    struct entry *next;
    uint8_t hash[HASH];
    pph_linear *linear;
    size_t holders;
    void *part;
} entry;

struct pph_shared_linears {
    uint64_t seed;
    pthread_mutex_t mutex; /* guards the list and what is in it */
    pthread_cond_t packed; /* or was not to be packed */
    entry *first;
};

pph_status pph_shared_linears_new(pph_shared_linears **out, uint64_t seed, pph_error *err)
{
    pph_shared_linears *made = pph_alloc(sizeof *made);
    if (!made)
        return PPH_FAIL_MEMORY(err, sizeof *made);
    made->seed = seed;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->packed, NULL);
    *out = made;
    return PPH_OK;
}

void pph_shared_linears_free(pph_shared_linears **linears)
{
    pph_shared_linears *gone = PPH_TAKE(*linears);
    if (!gone)
        return;
    pthread_cond_destroy(&gone->packed);
    pthread_mutex_destroy(&gone->mutex);
    pph_free(gone);
}

/* ---- what is in a layer ---- */

/* Members hash chunks of whole rows, whose hashes are hashed in the end: however many work on it, and in whatever
 * type it is stored, it comes to the same.
 * row      bytes of a stored row;  rows  of a chunk
 * hashes   [chunks];  wide  f32 [members, rows, inputs], where numbers have to be widened */
typedef struct hashing {
    const pph_linear_options *options;
    uint64_t seed;
    size_t row, rows, chunks;
    uint8_t (*hashes)[HASH];
    float *wide;
    pph_cursor cursor;
} hashing;

static void hash_chunk(const hashing *h, size_t chunk, float *wide)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    const pph_linear_options *o = h->options;
    size_t first = chunk * h->rows, count = PPH_MIN(h->rows, o->outputs - first);
    const void *bytes = (const char *)o->weight + first * h->row;
    size_t size = count * h->row, numbers = count * o->inputs;
    if (wide) {
        (o->weight_dtype == PPH_F16 ? table->f32_from_f16 : table->f32_from_bf16)(wide, bytes,
                                                                                  numbers);
        bytes = wide;
        size = numbers * sizeof *wide;
    }
    pph_hash128_seeded(bytes, size, h->seed, h->hashes[chunk]);
}

static void hash_share(void *context, const pph_member *member)
{
    hashing *h = context;
    float *wide = NULL;
    if (h->wide)
        wide = h->wide + (size_t)member->index * h->rows * h->options->inputs;
    size_t chunk, end;
    while (pph_team_next(&h->cursor, h->chunks, 1, &chunk, &end))
        hash_chunk(h, chunk, wide);
}

/* row  bytes of one. Blocks are known by their bits, for that is what is multiplied with. */
static pph_status hash_of(uint8_t out[HASH], uint64_t seed, const pph_linear_options *o, size_t row,
                          pph_team *team, pph_error *err)
{
    bool widens = o->weight_dtype == PPH_F16 || o->weight_dtype == PPH_BF16;
    hashing h = {.options = o, .seed = seed, .row = row};
    h.rows = PPH_MAX(CHUNK / o->inputs, (size_t)1);
    h.chunks = (o->outputs + h.rows - 1) / h.rows;
    const uint64_t head[] = {o->inputs,
                             o->outputs,
                             (uint64_t)o->activation,
                             o->rows_hint,
                             o->bias != NULL,
                             (uint64_t)o->precision,
                             (uint64_t)(widens ? PPH_F32 : o->weight_dtype)};
    size_t bias = o->bias ? o->outputs * sizeof *o->bias : 0;
    size_t size = sizeof head + h.chunks * HASH + bias;
    size_t members = team ? (size_t)pph_team_threads(team) : 1;
    PPH_AUTO(pph_free_at) uint8_t *all = pph_alloc(size);
    PPH_AUTO(pph_free_at) float *wide = NULL;
    if (widens)
        wide = pph_alloc_aligned(members * h.rows * o->inputs * sizeof *wide);
    if (!all || (widens && !wide))
        return PPH_FAIL_MEMORY(err, size + members * h.rows * o->inputs * sizeof *wide);
    memcpy(all, head, sizeof head);
    if (bias)
        memcpy(all + size - bias, o->bias, bias);
    h.hashes = (uint8_t(*)[HASH])(all + sizeof head);
    h.wide = wide;
    if (team)
        pph_team_run(team, hash_share, &h);
    else
        hash_share(&h, &(pph_member){NULL, 0, 1});
    pph_hash128_seeded(all, size, seed, out);
    return PPH_OK;
}

/* ---- who has it ---- */

/* Under the lock, which is given up while another packs the layer. NULL: there is none. */
static entry *await(pph_shared_linears *s, const uint8_t hash[HASH])
{
    for (;;) {
        entry *found = s->first;
        while (found && memcmp(found->hash, hash, HASH) != 0)
            found = found->next;
        if (!found || found->linear)
            return found;
        pthread_cond_wait(&s->packed, &s->mutex);
    }
}

/* Under the lock. */
static void unlist(pph_shared_linears *s, entry *gone)
{
    entry **at = &s->first;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
}

/* The entry is in the list, and whoever needs it waits. */
static pph_status pack(pph_linear **out, pph_sharer *sharer, entry *made,
                       const pph_linear_options *options, pph_team *team, pph_error *err)
{
    pph_shared_linears *s = sharer->linears;
    pph_linear *linear = NULL;
    pph_status status = pph_linear_new(&linear, options, team, err);
    pthread_mutex_lock(&s->mutex);
    if (status == PPH_OK)
        status = sharer->hold(sharer, &made->part, pph_linear_bytes(linear), err);
    if (status == PPH_OK) {
        made->holders = 1;
        *out = made->linear = linear;
    } else {
        unlist(s, made);
    }
    pthread_cond_broadcast(&s->packed);
    pthread_mutex_unlock(&s->mutex);
    if (status != PPH_OK) {
        pph_linear_free(&linear);
        pph_free(made);
    }
    return status;
}

pph_status pph_shared_linear_new(pph_linear **out, pph_sharer *sharer,
                                 const pph_linear_options *options, pph_team *team, pph_error *err)
{
    size_t row;
    /* What is not even a matrix is refused there. */
    if (!sharer || !options->weight || !options->inputs || !options->outputs ||
        !pph_dtype_row(options->weight_dtype, options->inputs, &row))
        return pph_linear_new(out, options, team, err);
    pph_shared_linears *s = sharer->linears;
    PPH_AUTO(pph_free_at) entry *made = pph_alloc(sizeof *made);
    if (!made)
        return PPH_FAIL_MEMORY(err, sizeof *made);
    PPH_TRY(hash_of(made->hash, s->seed, options, row, team, err));
    pph_status status = PPH_OK;
    pthread_mutex_lock(&s->mutex);
    entry *found = await(s, made->hash);
    if (found) {
        status = sharer->hold(sharer, &found->part, pph_linear_bytes(found->linear), err);
        if (status == PPH_OK) {
            found->holders++;
            *out = found->linear;
        }
    } else {
        made->next = s->first;
        s->first = made;
    }
    pthread_mutex_unlock(&s->mutex);
    return found ? status : pack(out, sharer, PPH_TAKE(made), options, team, err);
}

void pph_shared_linear_free(pph_linear **linear, pph_sharer *sharer)
{
    pph_linear *gone = PPH_TAKE(*linear);
    if (!gone)
        return;
    if (!sharer) {
        pph_linear_free(&gone);
        return;
    }
    pph_shared_linears *s = sharer->linears;
    pthread_mutex_lock(&s->mutex);
    entry *its = s->first;
    while (its->linear != gone)
        its = its->next;
    bool last = --its->holders == 0;
    if (last)
        unlist(s, its);
    else
        sharer->drop(sharer, &its->part);
    pthread_mutex_unlock(&s->mutex);
    if (!last)
        return;
    pph_linear_free(&its->linear);
    sharer->drop(sharer, &its->part);
    pph_free(its);
}

size_t pph_shared_linear_bytes(const pph_linear *linear, const pph_sharer *sharer)
{
    return sharer ? 0 : pph_linear_bytes(linear);
}
