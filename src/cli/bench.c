/* paraphym bench: how fast a model runs here, on input that is ready in memory. Medians of whole
 * batches; nothing is read, decoded or fetched while the clock runs. */
#include "cli/bench_generate.h"
#include "cli/bench_vision.h"
#include "cli/command.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "compute/team.h"
#include "model/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench_work {
    pph_team *team;
    pph_model *model;
    const pph_model_info *info;
    long batch, runs, tokens;
    bool text;
    float *pixels;
    const float **pictures; /* where each begins */
    int32_t *ids;
    size_t *lengths;
    float *out;
    double *seconds;
} bench_work;

static void bench_deinit(bench_work *bench)
{
    pph_model_close(&bench->model);
    pph_team_free(&bench->team);
    pph_free(bench->pixels);
    pph_free(bench->pictures);
    pph_free(bench->ids);
    pph_free(bench->lengths);
    pph_free(bench->out);
    pph_free(bench->seconds);
}

/* Noise from a fixed seed; what it is does not change how long it takes. */
static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static pph_status make_input(bench_work *bench, pph_error *err)
{
    uint32_t seed = 1;
    size_t batch = (size_t)bench->batch, side = bench->info->image_side;
    size_t most = bench->info->context;
    size_t tokens = bench->tokens ? (size_t)bench->tokens : PPH_MIN(most, (size_t)512);
    size_t per = bench->text ? tokens : 3 * side * side;
    if (bench->text && (!most || tokens > most))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        most ? "texts of %zu tokens are longer than the model takes, which is %zu"
                             : "the model takes no texts",
                        tokens, most);
    if (!bench->text && !side)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "the model takes no pictures; measure texts with --text");
    bench->out = pph_alloc_array(batch, bench->info->dimensions * sizeof(float));
    bench->seconds = pph_alloc_array((size_t)bench->runs, sizeof(double));
    bench->lengths = pph_alloc_array(batch, sizeof(size_t));
    if (bench->text)
        bench->ids = pph_alloc_array(batch, per * sizeof(int32_t));
    else
        bench->pixels = pph_alloc_array(batch, per * sizeof(float));
    bench->pictures = pph_alloc_array(batch, sizeof *bench->pictures);
    if (!bench->out || !bench->seconds || !bench->lengths || !bench->pictures ||
        (!bench->ids && !bench->pixels))
        return PPH_FAIL_MEMORY(err, batch * per * sizeof(float));
    for (size_t i = 0; i < batch; i++) {
        bench->lengths[i] = per;
        bench->pictures[i] = bench->text ? NULL : bench->pixels + i * per;
    }
    for (size_t i = 0; i < batch * per; i++) {
        uint32_t noise = next_random(&seed);
        if (bench->text) /* the highest id ends a text: only at its end, so that all of it counts */
            bench->ids[i] = i % per == per - 1 ? (int32_t)bench->info->vocabulary - 1
                                               : (int32_t)(noise % (bench->info->vocabulary - 1));
        else
            bench->pixels[i] = (float)(noise & 0xFFFF) / 16384.0f - 2.0f;
    }
    return PPH_OK;
}

static pph_status run_once(bench_work *bench, pph_error *err)
{
    const pph_texts texts = {
        .count = (size_t)bench->batch, .ids = bench->ids, .lengths = bench->lengths};
    if (bench->text)
        return pph_model_embed_texts(bench->model, &texts, bench->out, err);
    return pph_model_embed_pixels(bench->model, (size_t)bench->batch, bench->pictures, bench->out,
                                  NULL, err);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static pph_status measure(bench_work *bench, pph_error *err)
{
    for (int warm = 0; warm < 2; warm++)
        PPH_TRY(run_once(bench, err));
    for (long i = 0; i < bench->runs; i++) {
        pph_nanos begin = pph_clock_now();
        PPH_TRY(run_once(bench, err));
        bench->seconds[i] = (double)(pph_clock_now() - begin) / 1e9;
    }
    qsort(bench->seconds, (size_t)bench->runs, sizeof(double), compare);
    return PPH_OK;
}

static pph_status open_bench(bench_work *bench, const pph_common *common, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *folder = NULL;
    PPH_TRY(pph_command_model(common, &folder, err));
    PPH_TRY(pph_team_new(&bench->team, (int)common->threads, err));
    const pph_model_options options = {.team = bench->team, .precision = common->precision};
    PPH_TRY(pph_model_open(&bench->model, folder, &options, err));
    bench->info = pph_model_describe(bench->model);
    return make_input(bench, err);
}

static void print_result(const bench_work *bench, const pph_common *common)
{
    double median = bench->seconds[bench->runs / 2];
    double rate = (double)bench->batch / median;
    const char *what = bench->text ? "texts" : "images";
    const char *precision = pph_precision_name(bench->info->precision);
    int threads = pph_team_threads(bench->team);
    if (common->json)
        printf("{\"%s_per_second\":%.2f,\"batch\":%ld,\"seconds_median\":%.6f,"
               "\"seconds_min\":%.6f,\"runs\":%ld,\"precision\":\"%s\",\"threads\":%d}\n",
               what, rate, bench->batch, median, bench->seconds[0], bench->runs, precision,
               threads);
    else
        printf("%.1f %s a second: %ld at once in %.2f ms (median of %ld runs, best %.2f ms), %s, "
               "%d thread%s\n",
               rate, what, bench->batch, median * 1e3, bench->runs, bench->seconds[0] * 1e3,
               precision, threads, threads == 1 ? "" : "s");
}

static pph_status take_word(void *context, const char *option, const char *value, pph_error *err)
{
    const char **what = context;
    (void)option;
    if (*what)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%s' is one word too many", value);
    *what = value;
    return PPH_OK;
}

int pph_bench_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(bench_deinit) bench_work bench = {.batch = 8};
    pph_bench_generate_options generate = {
        .prompt_tokens = 128, .max_tokens = 32, .sequences = 1, .quantize = "none"};
    const char *what = NULL, *projector = NULL;
    long runs = 0;
    const pph_option own[] = {
        {"batch", 0, PPH_OPTION_INTEGER, &bench.batch, 1, 1024, "N", "embed: inputs at once (8)"},
        {"text", 0, PPH_OPTION_FLAG, &bench.text, 0, 0, NULL, "embed: texts instead of pictures"},
        {"tokens", 0, PPH_OPTION_INTEGER, &bench.tokens, 1, 1 << 20, "N",
         "embed: of each text (what the model takes, at most 512)"},
        {"prompt-tokens", 0, PPH_OPTION_INTEGER, &generate.prompt_tokens, 1, 1 << 20, "N",
         "generate: tokens of a prompt (128)"},
        {"max-tokens", 0, PPH_OPTION_INTEGER, &generate.max_tokens, 1, 1 << 20, "N",
         "generate: tokens written behind it (32)"},
        {"sequences", 0, PPH_OPTION_INTEGER, &generate.sequences, 1, 64, "N",
         "generate: written side by side (1)"},
        {"quantize", 0, PPH_OPTION_TEXT, &generate.quantize, 0, 0, "T",
         "generate: matrices of plain numbers to q8_0 or q4_0 as they are loaded (none)"},
        {"projector", 0, PPH_OPTION_TEXT, &projector, 0, 0, "FILE",
         "vision: a GGUF model's picture part (the mmproj file beside it)"},
        {"runs", 0, PPH_OPTION_INTEGER, &runs, 1, 10000, "N",
         "timed runs (embed 15, vision 5, generate 3)"},
        {0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_word, &what);
    if (leave >= 0)
        return leave;
    bool generates = what && strcmp(what, "generate") == 0;
    bool looks = what && strcmp(what, "vision") == 0;
    if (!what || (!generates && !looks && strcmp(what, "embed") != 0))
        return pph_command_usage(self,
                                 "say what to measure: bench embed, bench vision, bench generate");
    pph_error error;
    bench.runs = runs ? runs : 15;
    generate.runs = runs ? runs : 3;
    if (generates || looks) {
        pph_status status = generates
                                ? pph_bench_generate(&common, &generate, &error)
                                : pph_bench_vision(&common, projector, runs ? runs : 5, &error);
        return status == PPH_OK ? pph_command_finish(PPH_EXIT_OK) : pph_command_failed(&error);
    }
    if (open_bench(&bench, &common, &error) != PPH_OK || measure(&bench, &error) != PPH_OK)
        return pph_command_failed(&error);
    print_result(&bench, &common);
    return pph_command_finish(PPH_EXIT_OK);
}
