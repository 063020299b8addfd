/* Times attention to a paged KV cache beside what bounds it: one new token to many keys (decoding)
 * beside reading memory, many tokens (a prompt) beside the panel product with everything in the
 * first-level cache; and beside a plain loop over keys and values that lie in rows.
 *
 *   bench_attention [THREADS [PART OF A NAME]]
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "compute/attention_paged.h"
#include "compute/hugepage.h"
#include "compute/kernels.h"
#include "compute/team.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 7, MEMBERS = 64, LAYERS = 8 }; /* layers in turn: none stays in the cache */

typedef struct shape {
    const char *name;
    size_t heads, kv, size, queries, keys;
} shape;

/* What the members of the team compute together. */
typedef struct job {
    pph_attention_paged op;
    pph_scratch *scratch[MEMBERS];
    pph_cursor cursor;
    const float *k, *v; /* rows, for the plain loop */
    bool naive;
    atomic_bool failed;
    const float *memory;
    size_t count;
    float sums[MEMBERS][16];
} job;

static pph_team *team;

/* Attention as one writes it first: a query and a head at a time, over rows. */
static void naive(const pph_attention_paged *op, const float *k, const float *v, size_t head,
                  size_t row, float *score)
{
    size_t size = op->layout->size, width = op->layout->heads * size;
    size_t column = head / (op->heads / op->layout->heads) * size;
    size_t keys = op->keys - op->queries + row + 1;
    const float *q = (const float *)op->q.data + row * op->q.stride + head * size;
    float *out = (float *)op->out.data + row * op->out.stride + head * size;
    float most = -INFINITY, sum = 0;
    for (size_t j = 0; j < keys; j++) {
        score[j] = 0;
        for (size_t d = 0; d < size; d++)
            score[j] += q[d] * k[j * width + column + d];
        score[j] *= op->scale;
        most = fmaxf(most, score[j]);
    }
    memset(out, 0, size * sizeof *out);
    for (size_t j = 0; j < keys; j++)
        sum += score[j] = expf(score[j] - most);
    for (size_t j = 0; j < keys; j++)
        for (size_t d = 0; d < size; d++)
            out[d] += score[j] / sum * v[j * width + column + d];
}

static void attend(void *context, const pph_member *member)
{
    job *j = context;
    size_t heads = j->op.heads, group = heads / j->op.layout->heads, begin, end;
    size_t grain = pph_attention_paged_grain(&j->op);
    size_t tiles = (j->op.queries + grain - 1) / grain, all = tiles * j->op.layout->heads;
    pph_scratch *scratch = j->scratch[member->index];
    if (j->naive) {
        float *score = pph_alloc_array(j->op.keys, sizeof *score);
        while (score && pph_team_next(&j->cursor, heads * j->op.queries, 1, &begin, &end))
            naive(&j->op, j->k, j->v, begin % heads, begin / heads, score);
        pph_free(score);
        return;
    }
    while (pph_team_next(&j->cursor, all, 1, &begin, &end)) {
        size_t kv = begin / tiles, tile = begin % tiles; /* a head's keys stay near for its tiles */
        size_t last = PPH_MIN((tile + 1) * grain, j->op.queries);
        if (pph_attention_paged_run(&j->op, kv * group, (kv + 1) * group, tile * grain, last,
                                    scratch, NULL) != PPH_OK)
            j->failed = true;
    }
}

static void read_memory(void *context, const pph_member *member)
{
    job *j = context;
    size_t begin, end;
    float *sum = j->sums[member->index];
    pph_team_share(member, j->count, 4096, &begin, &end);
    float part[64] = {0};
    for (size_t i = begin; i + 64 <= end; i += 64)
        for (size_t l = 0; l < 64; l++)
            part[l] += j->memory[i + l];
    for (size_t l = 0; l < 64; l++)
        sum[l % 16] += part[l];
}

/* Nanoseconds, the least of `tries`. */
static double least(void (*body)(void *, const pph_member *), job *j, void *const **layers,
                    int tries)
{
    double best = 1e30;
    for (int i = 0; i < tries; i++) {
        j->cursor.next = 0;
        if (layers)
            j->op.pages = layers[i % LAYERS];
        pph_nanos start = pph_clock_now();
        pph_team_run(team, body, j);
        best = fmin(best, (double)(pph_clock_now() - start));
    }
    return best;
}

typedef struct peak {
    bool bf16;
    float *a, *panel, *c;
} peak;

static void multiply(void *context, const pph_member *member)
{
    peak *p = context;
    float *c = p->c + (size_t)member->index * 24 * PPH_PANEL;
    const pph_tensor_kernels *k = &pph_kernels_get()->tensor;
    for (int i = 0; i < 2000; i++)
        if (p->bf16)
            k->panel_multiply_bf16(c, PPH_PANEL, (const pph_bf16 *)(void *)p->a, 128,
                                   (const pph_bf16 *)(void *)p->panel, 24, 128);
        else
            k->panel_multiply(c, PPH_PANEL, p->a, 128, p->panel, 24, 128);
}

/* FLOP a nanosecond. */
static double measure_peak(bool bf16)
{
    peak p = {bf16, pph_alloc(128 * 64 * 4), pph_alloc(128 * 64 * 4),
              pph_alloc(MEMBERS * 24 * PPH_PANEL * sizeof(float))};
    double best = 1e30;
    for (int i = 0; i < TRIES && p.a && p.panel && p.c; i++) {
        pph_nanos start = pph_clock_now();
        pph_team_run(team, multiply, &p);
        best = fmin(best, (double)(pph_clock_now() - start));
    }
    pph_free(p.a), pph_free(p.panel), pph_free(p.c);
    return 2000.0 * 2 * 24 * 128 * 64 * pph_team_threads(team) / best;
}

static void *numbers(size_t count)
{
    float *out = pph_alloc_aligned(count * sizeof *out);
    for (size_t i = 0; out && i < count; i++)
        out[i] = (float)((i * 2654435761U >> 8) & 1023) / 512 - 1;
    return out;
}

static int measure(const shape *s, pph_dtype cache, pph_dtype q, double bytes_ns, job *j)
{
    pph_kv_layout layout = {cache, s->kv, s->size};
    size_t count = (s->keys + PPH_KV_TOKENS - 1) / PPH_KV_TOKENS, page = pph_kv_page_bytes(&layout);
    size_t width = s->kv * s->size, rows = s->queries * s->heads * s->size;
    void **layers[LAYERS] = {0};
    float *k = numbers(s->keys * width), *out = numbers(rows), *wide = numbers(rows);
    if (!k || !out || !wide)
        return 1;
    for (size_t l = 0; l < LAYERS; l++)
        if (!(layers[l] = pph_alloc_array(count, sizeof **layers)))
            return 1;
    for (size_t i = 0; i < count; i++) { /* a page over all layers lies together, as in the cache */
        if (!(layers[0][i] = pph_alloc_aligned(LAYERS * page)))
            return 1;
        pph_hugepage_advise(layers[0][i], LAYERS * page);
        for (size_t l = 0; l < LAYERS; l++) {
            layers[l][i] = (char *)layers[0][i] + l * page;
            pph_rows in = {k + i * PPH_KV_TOKENS * width, PPH_F32, NULL, width};
            pph_kv_store(&layout, layers[l][i], 0, PPH_MIN(PPH_KV_TOKENS, s->keys - i * 32), 0,
                         s->kv, in, in);
        }
    }
    if (q == PPH_BF16)
        pph_kernels_get()->tensor.bf16_from_f32((pph_bf16 *)(void *)wide, wide, rows);
    j->op = (pph_attention_paged){.q = {wide, q, NULL, s->heads * s->size},
                                  .out = {out, PPH_F32, NULL, s->heads * s->size},
                                  .queries = s->queries,
                                  .heads = s->heads,
                                  .layout = &layout,
                                  .keys = s->keys,
                                  .scale = 0.1F};
    j->k = j->v = k;
    j->naive = false;
    int tries = s->queries == 1 ? 5 * TRIES : TRIES;
    double took = least(attend, j, (void *const **)layers, tries), plain = 0;
    if (q == PPH_F32 && cache == PPH_F32 && s->queries * s->keys <= 1 << 18) {
        j->naive = true;
        plain = least(attend, j, (void *const **)layers, 1);
    }
    double past = (double)(s->keys - s->queries), own = (double)s->queries;
    double pairs = own * past + own * (own + 1) / 2;
    double flop = 4 * pairs * (double)(s->heads * s->size), bytes = (double)(page * count);
    printf("%-22s %-4s q %-4s %9.1f us  %6.1f GB/s (%3.0f %% of memory)  %6.1f GFLOP/s", s->name,
           pph_dtype_name(cache), pph_dtype_name(q), took / 1e3, bytes / took,
           100 * bytes / took / bytes_ns, flop / took);
    if (plain > 0)
        printf("  plain loop %9.1f us, %.1f x", plain / 1e3, plain / took);
    printf("%s\n", j->failed ? "  FAILED" : "");
    for (size_t i = 0; i < count; i++)
        pph_free(layers[0][i]);
    for (size_t l = 0; l < LAYERS; l++)
        pph_free(layers[l]);
    pph_free(k), pph_free(out), pph_free(wide);
    return j->failed;
}

int main(int argc, char **argv)
{
    static const shape shapes[] = {
        {"decode 32/32 of 128", 32, 32, 128, 1, 4096},
        {"decode 32/8 of 128", 32, 8, 128, 1, 4096},
        {"decode 32/4 of 64", 32, 4, 64, 1, 4096},
        {"4 tokens 32/8 of 128", 32, 8, 128, 4, 4096},
        {"prompt 512 32/32 of 128", 32, 32, 128, 512, 512},
        {"prompt 512 32/4 of 64", 32, 4, 64, 512, 512},
        {"256 after 4K, 32/8", 32, 8, 128, 256, 4096},
    };
    static job j;
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (pph_team_new(&team, threads, NULL) != PPH_OK)
        return 1;
    for (int i = 0; i < pph_team_threads(team) && i < MEMBERS; i++)
        if (pph_scratch_new(&j.scratch[i], NULL) != PPH_OK)
            return 1;
    j.count = (size_t)64 << 20;
    float *memory = pph_alloc_aligned(j.count * sizeof *memory);
    if (!memory || pph_team_threads(team) > MEMBERS)
        return 1;
    memset(memory, 1, j.count * sizeof *memory);
    j.memory = memory;
    double bytes_ns = (double)(j.count * sizeof *memory) / least(read_memory, &j, NULL, TRIES);
    printf("%d threads: memory %.1f GB/s, panel product f32 %.0f, bf16 %.0f GFLOP/s\n",
           pph_team_threads(team), bytes_ns, measure_peak(false), measure_peak(true));
    for (size_t i = 0; i < PPH_COUNT(shapes); i++) {
        static const pph_dtype forms[][2] = {{PPH_F32, PPH_F32},
                                             {PPH_F16, PPH_F32},
                                             {PPH_F16, PPH_BF16},
                                             {PPH_I8, PPH_F32},
                                             {PPH_I8, PPH_BF16}};
        for (size_t f = 0; f < PPH_COUNT(forms); f++)
            if ((argc < 3 || strstr(shapes[i].name, argv[2])) &&
                (shapes[i].queries > 4 || forms[f][1] == PPH_F32) &&
                measure(&shapes[i], forms[f][0], forms[f][1], bytes_ns, &j))
                return 1;
    }
    for (int i = 0; i < pph_team_threads(team); i++)
        pph_scratch_free(&j.scratch[i]);
    pph_free(memory);
    pph_team_free(&team);
    return 0;
}
