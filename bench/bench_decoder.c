/* Times a decoder on made-up tokens, through the model itself.
 *
 *   bench_decoder MODEL [--threads N] [--precision P] [--context N] [--chunk N]
 *
 * Reads lines "PROMPT TOKENS SEQUENCES" from standard input: that many sequences begin with PROMPT
 * tokens each and go on for TOKENS more, together. Answers each with the tokens a second of prefill and
 * of decoding, of all sequences together, and the heap that the model takes in MiB; an empty line or the end of
 * input ends it. --chunk is the most rows of a step of prefill. */
#include "base/clock.h"
#include "base/mem.h"
#include "compute/precision.h"
#include "model/decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

static double seconds(void)
{
    return (double)pph_clock_now() * 1e-9;
}

typedef struct bench {
    pph_decoder *decoder;
    size_t chunk;
    int32_t *ids;
    float *logits;
    pph_kv_sequence *sequences[MOST];
} bench;

/* Room for the rows, the step, and their keys. */
static pph_status step(const bench *b, const pph_decoder_input *inputs, size_t count, float *logits,
                       uint64_t *keys, pph_error *err)
{
    for (size_t i = 0; i < count; i++)
        PPH_TRY(pph_kv_sequence_reserve(inputs[i].sequence, inputs[i].count, err));
    PPH_TRY(pph_decoder_run(b->decoder, inputs, count, logits, err));
    for (size_t i = 0; i < count; i++)
        pph_kv_sequence_commit(inputs[i].sequence, keys, inputs[i].count);
    return PPH_OK;
}

static pph_status run(bench *b, size_t prompt, size_t tokens, size_t count, double *prefill,
                      double *decode, pph_error *err)
{
    const pph_decoder_info *info = pph_decoder_describe(b->decoder);
    PPH_AUTO(pph_free_at)
    uint64_t *keys = pph_alloc_array(PPH_MAX(prompt, (size_t)1), sizeof *keys);
    pph_decoder_input inputs[MOST];
    if (!keys)
        return PPH_FAIL_MEMORY(err, prompt * sizeof *keys);
    for (size_t i = 0; i < prompt; i++) /* told apart, so that nothing is shared */
        keys[i] = (uint64_t)i << 32 | (uint32_t)rand();
    double start = seconds();
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0, rows; at < prompt; at += rows) {
            rows = PPH_MIN(b->chunk, prompt - at);
            inputs[0] = (pph_decoder_input){.sequence = b->sequences[i],
                                            .ids = b->ids + at,
                                            .count = rows,
                                            .logits = at + rows == prompt};
            PPH_TRY(step(b, inputs, 1, b->logits, keys + at, err));
        }
    }
    *prefill = (double)(count * prompt) / (seconds() - start);
    start = seconds();
    for (size_t k = 0; k < tokens; k++) {
        for (size_t i = 0; i < count; i++)
            inputs[i] = (pph_decoder_input){
                .sequence = b->sequences[i],
                .ids = b->ids + (i * 31 + k * 7) % info->context,
                .count = 1,
                .logits = 1,
            };
        PPH_TRY(step(b, inputs, count, b->logits, keys, err));
    }
    *decode = tokens ? (double)(count * tokens) / (seconds() - start) : 0;
    return PPH_OK;
}

static pph_status answer(bench *b, size_t prompt, size_t tokens, size_t count, pph_error *err)
{
    double prefill = 0, decode = 0;
    if (count > MOST || !count)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "1 to %d sequences", (int)MOST);
    pph_status status = PPH_OK;
    for (size_t i = 0; i < count && status == PPH_OK; i++)
        status = pph_kv_sequence_new(&b->sequences[i], pph_decoder_cache(b->decoder), err);
    if (status == PPH_OK)
        status = run(b, prompt, tokens, count, &prefill, &decode, err);
    for (size_t i = 0; i < count; i++)
        pph_kv_sequence_free(&b->sequences[i]);
    pph_kv_cache_clear(pph_decoder_cache(b->decoder));
    if (status == PPH_OK)
        printf("%.2f %.2f %.0f\n", prefill, decode,
               (double)pph_decoder_bytes(b->decoder) / (1 << 20));
    return status;
}

static pph_status work(bench *b, const char *path, const pph_decoder_options *options,
                       pph_error *err)
{
    char line[128];
    PPH_TRY(pph_decoder_open(&b->decoder, path, options, err));
    const pph_decoder_info *info = pph_decoder_describe(b->decoder);
    b->ids = pph_alloc_array(info->context, sizeof *b->ids);
    b->logits = pph_alloc_array(MOST * info->vocabulary, sizeof *b->logits);
    if (!b->ids || !b->logits)
        return PPH_FAIL_MEMORY(err, MOST * info->vocabulary * sizeof *b->logits);
    for (size_t i = 0; i < info->context; i++)
        b->ids[i] = (int32_t)(i * 7919 % info->vocabulary);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) && line[0] != '\n') {
        size_t prompt = 0, tokens = 0, count = 1;
        if (sscanf(line, "%zu %zu %zu", &prompt, &tokens, &count) < 2 ||
            prompt + tokens > info->context)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a line is PROMPT TOKENS [SEQUENCES]");
        PPH_TRY(answer(b, prompt, tokens, count, err));
        fflush(stdout);
    }
    return PPH_OK;
}

int main(int argc, char **argv)
{
    bench b = {.chunk = 512};
    pph_team *team = NULL;
    pph_error err = {PPH_OK, ""};
    pph_decoder_options options = pph_decoder_defaults(NULL);
    int threads = 2;
    if (argc < 2)
        return 2;
    options.context = 2048;
    options.cache_bytes = (size_t)4 << 30;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--threads"))
            threads = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--context"))
            options.context = (size_t)atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--chunk"))
            b.chunk = (size_t)PPH_MAX(atoi(argv[i + 1]), 1);
        else if (strcmp(argv[i], "--precision") ||
                 pph_precision_parse(argv[i + 1], &options.precision, &err) != PPH_OK)
            return 2;
    }
    pph_status status = pph_team_new(&team, threads, &err);
    options.team = team;
    if (status == PPH_OK)
        status = work(&b, argv[1], &options, &err);
    if (status != PPH_OK)
        fprintf(stderr, "%s\n", err.message);
    pph_decoder_close(&b.decoder);
    pph_free(b.ids);
    pph_free(b.logits);
    if (team)
        pph_team_free(&team);
    return status != PPH_OK;
}
