/* How fast single layers of a decoder are: the shapes of Llamas of 1.1 and 7 billion parameters, for
 * one row, eight and 256, on the compute team, which splits the outputs as a decoder does.
 *
 *   bench_blocks [THREADS] [TYPE|all] [SECONDS per figure]
 *
 * GB/s are the packed weights' bytes over the time; GOP/s two operations for each weight and row. A
 * shape is made as often as it takes to be out of every cache's reach, as in a model. Figures are the
 * best of the repetitions, so that other load on the machine counts little. The limits stand at the
 * end: what the team reads from memory. */
#include "base/clock.h"
#include "base/mem.h"
#include "compute/blocks.h"
#include "compute/kernels.h"
#include "compute/linear.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 256, BYTES = 256 << 20, COPIES = 64 };

typedef struct bench {
    pph_team *team;
    pph_scratch *scratch[PPH_TEAM_LIMIT];
    pph_linear *layers[COPIES];
    size_t copies, rows;
    pph_rows x, y;
    float *wide;
    const uint8_t *memory;
    uint64_t sums[PPH_TEAM_LIMIT];
    bool failed;
} bench;

static double seconds = 0.5;

static pph_rows rows_new(pph_dtype dtype, size_t width)
{
    size_t element = pph_rows_element(dtype), scales = pph_rows_scales(dtype, width);
    pph_rows rows = {pph_alloc_array(MOST_ROWS * width, element), dtype, NULL, width};
    if (scales)
        rows.scale = pph_alloc_array(MOST_ROWS * scales, sizeof *rows.scale);
    return rows;
}

static void run_layers(void *context, const pph_member *member)
{
    bench *b = context;
    size_t begin, end;
    for (size_t i = 0; i < b->copies; i++) {
        const pph_linear *layer = b->layers[i];
        pph_team_share(member, pph_linear_outputs(layer), pph_linear_grain(layer), &begin, &end);
        if (pph_linear_run_outputs(layer, b->scratch[member->index], b->rows, b->x, b->y, false,
                                   begin, end, NULL) != PPH_OK)
            b->failed = true;
        pph_team_barrier(member);
    }
}

static double best_of(bench *b, void (*body)(void *, const pph_member *))
{
    double best = 1e30;
    pph_nanos start = pph_clock_now();
    do {
        pph_nanos from = pph_clock_now();
        pph_team_run(b->team, body, b);
        double took = (double)(pph_clock_now() - from);
        best = took < best ? took : best;
    } while ((double)(pph_clock_now() - start) < seconds * 1e9);
    return best;
}

/* Weights that are noise, of scales that keep sums in range. */
static uint8_t *weights_new(pph_dtype dtype, size_t outputs, size_t inputs)
{
    size_t row = 0;
    pph_block block = pph_dtype_block(dtype);
    if (!pph_dtype_row(dtype, inputs, &row))
        return NULL;
    uint8_t *bytes = pph_alloc_aligned(outputs * row);
    for (size_t i = 0; bytes && i < outputs * row; i += 2) {
        uint16_t noise = (uint16_t)(i * 2654435761U >> 16 & 0x3FFF); /* also a small f16, a bf16 */
        memcpy(bytes + i, &noise, 2);
    }
    for (size_t i = 0; bytes && dtype == PPH_F32 && i < outputs * row; i += block.bytes)
        memcpy(bytes + i, &(float){(float)(i % 17) - 8}, 4);
    return bytes;
}

static bool layers_new(bench *b, pph_dtype dtype, size_t outputs, size_t inputs)
{
    pph_error err;
    uint8_t *weights = weights_new(dtype, outputs, inputs);
    pph_linear_options options = {.name = "bench",
                                  .precision = PPH_PRECISION_BF16,
                                  .inputs = inputs,
                                  .outputs = outputs,
                                  .weight_dtype = dtype,
                                  .weight = weights,
                                  .rows_hint = 64};
    bool good = weights != NULL;
    for (b->copies = 0; good && b->copies < COPIES; b->copies++) {
        good = pph_linear_new(&b->layers[b->copies], &options, b->team, &err) == PPH_OK;
        if (good && b->copies && b->copies * pph_linear_bytes(b->layers[0]) > BYTES)
            break;
    }
    pph_free(weights);
    if (!good)
        fprintf(stderr, "bench_blocks: %s\n", err.message);
    return good;
}

static void measure(bench *b, pph_dtype dtype, size_t outputs, size_t inputs)
{
    static const size_t rows[] = {1, 2, 4, 8, 32, 256};
    if (layers_new(b, dtype, outputs, inputs)) {
        pph_dtype input = pph_linear_input(b->layers[0]);
        double bytes = (double)pph_linear_bytes(b->layers[0]);
        b->x = rows_new(input, inputs);
        b->y = rows_new(PPH_F32, outputs);
        pph_rows wide = {b->wide, PPH_F32, NULL, inputs};
        if (pph_rows_convert(b->x, wide, MOST_ROWS, inputs, b->scratch[0], NULL) != PPH_OK)
            b->failed = true;
        printf("%-5s %5zux%-5zu %6.1f MB", pph_dtype_name(dtype), outputs, inputs, bytes * 1e-6);
        for (size_t i = 0; i < PPH_COUNT(rows); i++) {
            b->rows = rows[i];
            double took = best_of(b, run_layers) / (double)b->copies;
            printf(" | %zu: %7.0f us %5.1f GB/s %5.0f GOP/s", b->rows, took * 1e-3, bytes / took,
                   2 * (double)(rows[i] * outputs * inputs) / took);
        }
        printf("%s\n", b->failed ? " FAILED" : "");
        fflush(stdout);
        pph_free(b->x.data);
        pph_free(b->x.scale);
        pph_free(b->y.data);
    }
    for (size_t i = 0; i < COPIES; i++)
        pph_linear_free(&b->layers[i]);
}

static void read_memory(void *context, const pph_member *member)
{
    bench *b = context;
    size_t begin, end;
    uint64_t sums[8] = {0}, words[8];
    pph_team_share(member, (size_t)BYTES, 4096, &begin, &end);
    for (size_t i = begin; i < end; i += 64) {
        memcpy(words, b->memory + i, 64);
        for (size_t k = 0; k < 8; k++)
            sums[k] ^= words[k];
    }
    for (size_t k = 0; k < 8; k++)
        b->sums[member->index] ^= sums[k];
}

int main(int count, char **arguments)
{
    static const size_t shapes[][2] = {
        {4096, 4096}, {11008, 4096}, {4096, 11008}, {5632, 2048}, {32000, 2048}};
    static const pph_dtype types[] = {PPH_Q4_0, PPH_Q8_0, PPH_Q4_K, PPH_Q6_K, PPH_Q5_K, PPH_Q5_0,
                                      PPH_Q4_1, PPH_Q5_1, PPH_Q2_K, PPH_Q3_K, PPH_BF16};
    const char *wish = count > 2 ? arguments[2] : "Q4_0";
    static bench b;
    pph_error err;
    seconds = count > 3 ? atof(arguments[3]) : seconds;
    if (pph_team_new(&b.team, count > 1 ? atoi(arguments[1]) : 0, &err) != PPH_OK) {
        fprintf(stderr, "bench_blocks: %s\n", err.message);
        return 1;
    }
    for (int i = 0; i < pph_team_threads(b.team); i++)
        if (pph_scratch_new(&b.scratch[i], NULL) != PPH_OK)
            return 1;
    b.wide = pph_alloc_array((size_t)MOST_ROWS * 11008, sizeof *b.wide);
    uint8_t *memory = pph_alloc_aligned(BYTES);
    if (!b.wide || !memory)
        return 1;
    for (size_t i = 0; i < (size_t)MOST_ROWS * 11008; i++)
        b.wide[i] = (float)((i * 2654435761U >> 8) % 2001) * 1e-3F - 1;
    memset(memory, 1, BYTES);
    b.memory = memory;
    printf("kernels: %s, %d threads\n", pph_kernels_get()->strips.name, pph_team_threads(b.team));
    for (size_t t = 0; t < PPH_COUNT(types); t++)
        for (size_t s = 0; s < PPH_COUNT(shapes); s++)
            if (!strcmp(wish, "all") || !strcmp(wish, pph_dtype_name(types[t])))
                measure(&b, types[t], shapes[s][0], shapes[s][1]);
    printf("memory is read at %.1f GB/s\n", (double)BYTES / best_of(&b, read_memory));
    for (int i = 0; i < pph_team_threads(b.team); i++)
        pph_scratch_free(&b.scratch[i]);
    pph_free(b.wide);
    pph_free(memory);
    pph_team_free(&b.team);
    return b.failed;
}
