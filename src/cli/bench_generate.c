/* How fast a language model reads a prompt and writes behind it: steps of the model alone, on random tokens,
 * without choosing among its results. */
#include "cli/bench_generate.h"

#include "base/clock.h"
#include "base/mem.h"
#include "model/decoder.h"
#include "pool/gguf_folder.h"
#include <stdlib.h>

enum { CHUNK = 512, SEQUENCES = 64 };

typedef struct bench_work {
    const pph_bench_generate_options *options;
    pph_team *team;
    pph_decoder *decoder;
    const pph_decoder_info *info;
    pph_kv_sequence *sequences[SEQUENCES];
    int32_t *ids;
    uint64_t *keys;
    float *logits;
    double *prefill, *decode; /* seconds of each run */
    uint32_t noise;
    uint64_t key; /* no two places are the same, so that nothing is found in the cache */
} bench_work;

static void bench_deinit(bench_work *bench)
{
    for (size_t i = 0; i < SEQUENCES; i++)
        pph_kv_sequence_free(&bench->sequences[i]);
    pph_decoder_close(&bench->decoder);
    pph_team_free(&bench->team);
    pph_free(bench->ids);
    pph_free(bench->keys);
    pph_free(bench->logits);
    pph_free(bench->prefill);
    pph_free(bench->decode);
}

static pph_status open_bench(bench_work *bench, const pph_common *common, pph_error *err)
{
    const pph_bench_generate_options *options = bench->options;
    PPH_AUTO(pph_free_at) char *model = NULL;
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_TRY(pph_command_language_model(common, &model, err));
    PPH_TRY(pph_gguf_folder_resolve(&path, model, err));
    PPH_TRY(pph_team_new(&bench->team, (int)common->threads, err));
    pph_decoder_options opening = pph_decoder_defaults(bench->team);
    opening.precision = common->precision;
    PPH_TRY(pph_quantize_parse(options->quantize, &opening.quantize, err));
    PPH_TRY(pph_decoder_open(&bench->decoder, path, &opening, err));
    bench->info = pph_decoder_describe(bench->decoder);
    size_t length = (size_t)(options->prompt_tokens + options->max_tokens);
    if (length > bench->info->context)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "%ld and %ld tokens: the model's context has room for %zu",
                        options->prompt_tokens, options->max_tokens, bench->info->context);
    bench->ids = pph_alloc_array(CHUNK, sizeof *bench->ids);
    bench->keys = pph_alloc_array(CHUNK, sizeof *bench->keys);
    bench->logits = pph_alloc_array(bench->info->vocabulary, SEQUENCES * sizeof *bench->logits);
    bench->prefill = pph_alloc_array((size_t)options->runs, sizeof *bench->prefill);
    bench->decode = pph_alloc_array((size_t)options->runs, sizeof *bench->decode);
    if (!bench->ids || !bench->keys || !bench->logits || !bench->prefill || !bench->decode)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the measurement");
    return PPH_OK;
}

static void make_tokens(bench_work *bench, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bench->noise = bench->noise * 1664525u + 1013904223u;
        bench->ids[i] = (int32_t)((bench->noise >> 8) % bench->info->vocabulary);
        bench->keys[i] = ++bench->key;
    }
}

static pph_status fill(bench_work *bench, pph_kv_sequence *sequence, size_t count, pph_error *err)
{
    for (size_t at = 0, some; at < count; at += some) {
        some = PPH_MIN(count - at, (size_t)CHUNK);
        make_tokens(bench, some);
        PPH_TRY(pph_kv_sequence_reserve(sequence, some, err));
        const pph_decoder_input input = {
            .sequence = sequence, .ids = bench->ids, .count = some, .logits = at + some == count};
        PPH_TRY(pph_decoder_run(bench->decoder, &input, 1, bench->logits, err));
        pph_kv_sequence_commit(sequence, bench->keys, some);
    }
    return PPH_OK;
}

/* A token more for each. */
static pph_status step(bench_work *bench, size_t count, pph_error *err)
{
    pph_decoder_input inputs[SEQUENCES];
    make_tokens(bench, count);
    for (size_t i = 0; i < count; i++) {
        PPH_TRY(pph_kv_sequence_reserve(bench->sequences[i], 1, err));
        inputs[i] = (pph_decoder_input){
            .sequence = bench->sequences[i], .ids = &bench->ids[i], .count = 1, .logits = 1};
    }
    PPH_TRY(pph_decoder_run(bench->decoder, inputs, count, bench->logits, err));
    for (size_t i = 0; i < count; i++)
        pph_kv_sequence_commit(bench->sequences[i], &bench->keys[i], 1);
    return PPH_OK;
}

static pph_status run_once(bench_work *bench, long run, pph_error *err)
{
    const pph_bench_generate_options *options = bench->options;
    size_t count = (size_t)options->sequences;
    for (size_t i = 0; i < count; i++) {
        pph_kv_sequence_free(&bench->sequences[i]);
        PPH_TRY(pph_kv_sequence_new(&bench->sequences[i], pph_decoder_cache(bench->decoder), err));
        pph_nanos begin = pph_clock_now();
        PPH_TRY(fill(bench, bench->sequences[i], (size_t)options->prompt_tokens, err));
        if (i == 0)
            bench->prefill[run] = (double)(pph_clock_now() - begin) / 1e9;
    }
    pph_nanos begin = pph_clock_now();
    for (long i = 0; i < options->max_tokens; i++)
        PPH_TRY(step(bench, count, err));
    bench->decode[run] = (double)(pph_clock_now() - begin) / 1e9;
    return PPH_OK;
}

/* What is loaded or made with first use is there before the clock runs. */
static pph_status warm_up(bench_work *bench, pph_error *err)
{
    PPH_TRY(pph_kv_sequence_new(&bench->sequences[0], pph_decoder_cache(bench->decoder), err));
    PPH_TRY(
        fill(bench, bench->sequences[0], PPH_MIN((size_t)bench->options->prompt_tokens, 32u), err));
    return step(bench, 1, err);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *seconds, long count)
{
    qsort(seconds, (size_t)count, sizeof *seconds, compare);
    return seconds[count / 2];
}

static void print_result(bench_work *bench, const pph_common *common)
{
    const pph_bench_generate_options *o = bench->options;
    double prefill = (double)o->prompt_tokens / median(bench->prefill, o->runs);
    double decode = (double)(o->max_tokens * o->sequences) / median(bench->decode, o->runs);
    const char *precision = pph_precision_name(bench->info->precision);
    int threads = pph_team_threads(bench->team);
    if (common->json)
        printf("{\"prefill_tokens_per_second\":%.2f,\"decode_tokens_per_second\":%.2f,"
               "\"prompt_tokens\":%ld,\"max_tokens\":%ld,\"sequences\":%ld,\"runs\":%ld,"
               "\"architecture\":\"%s\",\"precision\":\"%s\",\"threads\":%d}\n",
               prefill, decode, o->prompt_tokens, o->max_tokens, o->sequences, o->runs,
               bench->info->architecture, precision, threads);
    else
        printf("prefill %.1f tokens a second (%ld), decode %.1f tokens a second (%ld of %ld "
               "sequence%s), medians of %ld, %s, %s, %d thread%s\n",
               prefill, o->prompt_tokens, decode, o->max_tokens, o->sequences,
               o->sequences == 1 ? "" : "s", o->runs, bench->info->architecture, precision, threads,
               threads == 1 ? "" : "s");
}

pph_status pph_bench_generate(const pph_common *common, const pph_bench_generate_options *options,
                              pph_error *err)
{
    PPH_AUTO(bench_deinit) bench_work bench = {.options = options, .noise = 1};
    PPH_TRY(open_bench(&bench, common, err));
    PPH_TRY(warm_up(&bench, err));
    for (long i = 0; i < options->runs; i++)
        PPH_TRY(run_once(&bench, i, err));
    print_result(&bench, common);
    return PPH_OK;
}
