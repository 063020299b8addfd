/* Times a store of memories, with vectors of its own making, by its public functions.
 *
 *   bench_memory STORE [--count N] [--dimensions D] [--dump FILE]
 *
 * A store that is not there is made: 10,000 memories are added one by one, many at a time under way,
 * the rest in calls of 1,000. Then it is closed and opened again. On standard error it tells
 *
 *   added COUNT SECONDS         the ones added singly
 *   filled COUNT SECONDS        all
 *   opened SECONDS COUNT
 *
 * then prints "ready" and answers lines from standard input: "vectors Q" (by vectors alone), "all Q" (every way): the
 * best ten for query number Q, as "MILLISECONDS NUMBER...", the numbers being those of the memories.
 * --dump writes the vectors, f32 [N,D], for a peer; and those of 1,000 queries to FILE.queries. */
#include "base/clock.h"
#include "base/mem.h"
#include "runtime/promise.h"

#include <math.h>
#include <paraphym/memory.h>
#include <paraphym/runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SINGLY = 10000, TOGETHER = 1000, CENTRES = 4096, QUERIES = 1000, UNDER_WAY = 4 };

static size_t dimensions = 512;

static double seconds(void)
{
    return (double)pph_clock_now() * 1e-9;
}

/* ---- vectors ---- */

static float drawn(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15u;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (float)(int32_t)((z ^ z >> 31) >> 32) * 0x1p-31F;
}

/* Number `n` of a family: near one of the centres, as what people keep has topics. Unit length. */
static void vector_of(uint64_t family, uint64_t n, float *out)
{
    uint64_t own = family << 40 ^ n * 0x2545F4914F6CDD1Du;
    uint64_t centre = (n * 2654435761u >> 7) % CENTRES << 50;
    double size = 0;
    for (size_t i = 0; i < dimensions; i++) {
        out[i] = drawn(&centre) + 0.8F * drawn(&own);
        size += (double)out[i] * (double)out[i];
    }
    for (size_t i = 0; i < dimensions; i++)
        out[i] *= (float)(1 / sqrt(size));
}

typedef struct value {
    pph_embeddings public;
    float *vectors;
} value;

static void release(void *given)
{
    pph_free(((value *)given)->vectors);
    pph_free(given);
}

/* Texts begin with the family's letter and the number. */
static pph_future *embed(void *context, const pph_input *inputs, size_t count)
{
    (void)context;
    pph_error error = {0};
    value *made = pph_alloc(sizeof *made);
    float *vectors = pph_alloc_array(count, dimensions * sizeof *vectors);
    if (!made || !vectors) {
        pph_free(made);
        pph_free(vectors);
        (void)PPH_FAIL_MEMORY(&error, count * dimensions * sizeof *vectors);
        return pph_future_failed(&error);
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = inputs[i].data;
        vector_of(text[0] == 'q', strtoull(text + 1, NULL, 10), vectors + i * dimensions);
    }
    *made = (value){{count, dimensions, vectors, NULL}, vectors};
    return pph_future_ready(made, release);
}

/* ---- the store ---- */

/* Wait for a future and let it go; on failure tell why and end. */
static void finish(pph_future **future)
{
    pph_error error = {0};
    if (pph_block_on(*future, &error) != PPH_OK) {
        fprintf(stderr, "bench_memory: %s\n", error.message);
        exit(1);
    }
    pph_future_free(future);
}

static pph_memory *opened(const char *path, pph_pool *pool)
{
    pph_error error = {0};
    pph_memory *memory = NULL;
    const pph_memory_embedder embedder = {"made-up", true, false, embed, NULL};
    pph_memory_options options = pph_memory_defaults();
    options.embedders = &embedder;
    options.embedder_count = 1;
    options.pool = pool;
    if (pph_memory_open(&memory, path, &options, &error) != PPH_OK) {
        fprintf(stderr, "bench_memory: %s\n", error.message);
        exit(1);
    }
    return memory;
}

static uint64_t count_of(pph_memory *memory)
{
    pph_error error = {0};
    uint64_t count = 0;
    pph_future *future = pph_memory_count(memory, NULL);
    if (pph_block_on(future, &error) == PPH_OK)
        count = *(const uint64_t *)pph_future_value(future);
    pph_future_free(&future);
    return count;
}

static pph_memory_item item_of(uint64_t n, char text[64])
{
    static const char *const things[] = {"boat", "garden", "violin", "letter", "train", "kitchen"};
    pph_memory_item item = pph_memory_item_defaults();
    snprintf(text, 64, "m%llu what was said of the %s", (unsigned long long)n, things[n % 6]);
    item.text = text;
    return item;
}

static void add_singly(pph_memory *memory, uint64_t count)
{
    static pph_future *futures[SINGLY];
    double start = seconds();
    for (uint64_t n = 0; n < count; n++) {
        char text[64];
        pph_memory_item item = item_of(n, text);
        futures[n] = pph_memory_add(memory, &item);
    }
    for (uint64_t n = 0; n < count; n++)
        finish(&futures[n]);
    fprintf(stderr, "added %llu %.3f\n", (unsigned long long)count, seconds() - start);
}

static void fill(pph_memory *memory, uint64_t count)
{
    static char texts[TOGETHER][64];
    static pph_memory_item items[TOGETHER];
    pph_future *futures[UNDER_WAY] = {0};
    double start = seconds();
    add_singly(memory, PPH_MIN(count, (uint64_t)SINGLY));
    size_t at = 0;
    for (uint64_t n = SINGLY; n < count; n += TOGETHER, at = (at + 1) % UNDER_WAY) {
        size_t some = (size_t)PPH_MIN((uint64_t)TOGETHER, count - n);
        for (size_t i = 0; i < some; i++)
            items[i] = item_of(n + i, texts[i]);
        if (futures[at])
            finish(&futures[at]);
        futures[at] = pph_memory_add_many(memory, items, some);
    }
    for (size_t i = 0; i < UNDER_WAY; i++)
        if (futures[i])
            finish(&futures[i]);
    fprintf(stderr, "filled %llu %.3f\n", (unsigned long long)count, seconds() - start);
}

static void dump(const char *path, uint64_t family, uint64_t count)
{
    FILE *file = fopen(path, "wb");
    float *vector = pph_alloc_array(dimensions, sizeof *vector);
    for (uint64_t n = 0; file && vector && n < count; n++) {
        vector_of(family, n, vector);
        if (fwrite(vector, sizeof *vector, dimensions, file) != dimensions)
            break;
    }
    if (!file || !vector || fclose(file)) {
        fprintf(stderr, "bench_memory: %s cannot be written\n", path);
        exit(1);
    }
    pph_free(vector);
}

static void answer(pph_memory *memory, const char *line)
{
    char text[64];
    unsigned long long number = strtoull(strchr(line, ' '), NULL, 10);
    bool alone = !strncmp(line, "vectors", 7);
    snprintf(text, sizeof text, "q%llu what of the boat", number);
    double start = seconds();
    pph_future *future = pph_memory_search(
        memory, &(pph_memory_query){
                    .text = text, .without_words = alone, .without_time = alone, .peek = true});
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK) {
        printf("%s\n", error.message);
    } else {
        printf("%.3f", (seconds() - start) * 1e3);
        const pph_memory_hits *hits = pph_future_value(future);
        for (size_t i = 0; i < hits->count; i++)
            printf(" %llu", strtoull(hits->items[i].item.text + 1, NULL, 10));
        puts("");
    }
    fflush(stdout);
    pph_future_free(&future);
}

static void serve(const char *path, uint64_t count, pph_pool *pool)
{
    char line[128];
    setvbuf(stdout, NULL, _IOLBF, 0);
    pph_memory *memory = opened(path, pool);
    if (!count_of(memory))
        fill(memory, count);
    pph_memory_close(&memory);
    double start = seconds();
    memory = opened(path, pool);
    count = count_of(memory);
    fprintf(stderr, "opened %.3f %llu\n", seconds() - start, (unsigned long long)count);
    puts("ready");
    while (fgets(line, sizeof line, stdin) && strchr(line, ' '))
        answer(memory, line);
    pph_memory_close(&memory);
}

int main(int argc, char **argv)
{
    uint64_t count = 100000;
    const char *to = NULL;
    for (int i = 2; i + 1 < argc; i += 2)
        if (!strcmp(argv[i], "--count"))
            count = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--dimensions"))
            dimensions = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--dump"))
            to = argv[i + 1];
    if (argc % 2 || !count || !dimensions || dimensions > 4096) {
        fputs("usage: bench_memory STORE [--count N] [--dimensions D] [--dump FILE]\n", stderr);
        return 2;
    }
    if (to) {
        char queries[4096];
        snprintf(queries, sizeof queries, "%s.queries", to);
        dump(to, 0, count);
        dump(queries, 1, QUERIES);
    }
    pph_error error = {0};
    pph_pool *pool = NULL;
    if (pph_pool_open(&pool, NULL, &error) != PPH_OK) {
        fprintf(stderr, "bench_memory: %s\n", error.message);
        return 1;
    }
    serve(argv[1], count, pool);
    pph_pool_close(&pool);
    return 0;
}
