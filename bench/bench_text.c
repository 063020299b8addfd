/* Times a text encoder on made-up ids, through the model itself.
 *
 *   bench_text FOLDER [--threads N] [--precision P] [--vector]
 *
 * Reads lines "TEXTS SHORTEST LONGEST REPEATS" from standard input, a batch of texts whose lengths are
 * spread evenly from the one to the other and mixed, and answers each with the median and the least
 * milliseconds of a batch; an empty line or the end of input ends it. --vector prints the vector of the
 * first of those texts of 16 tokens, as peer_text.py does. */
#include "base/clock.h"
#include "base/mem.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 1000, TEXTS = 4096 };

typedef struct input {
    pph_model *model;
    const pph_model_info *info;
    pph_texts texts;
    int32_t *ids;
    size_t *lengths;
    float *out;
} input;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The lengths and ids that peer_text.py makes too. */
static pph_status prepare(input *in, size_t count, size_t shortest, size_t longest, pph_error *err)
{
    size_t total = 0;
    pph_free(in->ids);
    pph_free(in->lengths);
    pph_free(in->out);
    in->lengths = pph_alloc_array(count, sizeof *in->lengths);
    in->out = pph_alloc_array(count * in->info->dimensions, sizeof *in->out);
    in->ids = pph_alloc_array(count * longest, sizeof *in->ids);
    if (!in->lengths || !in->out || !in->ids)
        return PPH_FAIL_MEMORY(err, count * longest * sizeof *in->ids);
    for (size_t i = 0; i < count; i++) {
        size_t place = count > 1 ? i * 7 % count : 0;
        in->lengths[i] =
            count > 1 ? shortest + place * (longest - shortest) / (count - 1) : longest;
        for (size_t k = 0; k < in->lengths[i]; k++, total++)
            in->ids[total] = (int32_t)((i * 7919 + k * 997 + 5) % in->info->vocabulary);
    }
    in->texts = (pph_texts){.count = count, .ids = in->ids, .lengths = in->lengths};
    return PPH_OK;
}

static pph_status measure(input *in, size_t repeats, pph_error *err)
{
    double times[REPEATS];
    PPH_TRY(pph_model_embed_texts(in->model, &in->texts, in->out, err));
    for (size_t i = 0; i < repeats; i++) {
        pph_nanos before = pph_clock_now();
        PPH_TRY(pph_model_embed_texts(in->model, &in->texts, in->out, err));
        times[i] = (double)(pph_clock_now() - before) * 1e-6;
    }
    qsort(times, repeats, sizeof *times, by_size);
    printf("%.3f %.3f\n", times[repeats / 2], times[0]);
    fflush(stdout);
    return PPH_OK;
}

static pph_status print_vector(input *in, pph_error *err)
{
    PPH_TRY(prepare(in, 1, 16, 16, err));
    PPH_TRY(pph_model_embed_texts(in->model, &in->texts, in->out, err));
    for (size_t i = 0; i < in->info->dimensions; i++)
        printf("%s%.9g", i ? ", " : "[", (double)in->out[i]);
    printf("]\n");
    return PPH_OK;
}

static pph_status serve(input *in, bool vector, pph_error *err)
{
    char line[100];
    if (vector)
        return print_vector(in, err);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        size_t count, shortest, longest, repeats;
        if (sscanf(line, "%zu %zu %zu %zu", &count, &shortest, &longest, &repeats) != 4)
            break;
        if (!count || count > TEXTS || !shortest || shortest > longest ||
            longest > in->info->context || !repeats || repeats > REPEATS)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "up to %d texts of 1 to %zu tokens, up to %d times", TEXTS,
                            in->info->context, REPEATS);
        PPH_TRY(prepare(in, count, shortest, longest, err));
        PPH_TRY(measure(in, repeats, err));
    }
    return PPH_OK;
}

int main(int argc, char **argv)
{
    input in = {.model = NULL};
    int threads = 0;
    bool vector = false;
    pph_error err = {PPH_OK, ""};
    pph_model_options options = {.precision = PPH_PRECISION_AUTO};
    pph_status status = argc > 1 ? PPH_OK : PPH_FAIL(&err, PPH_INVALID_ARGUMENT, "FOLDER?");
    for (int i = 2; status == PPH_OK && i < argc; i++) {
        if (!strcmp(argv[i], "--vector"))
            vector = true;
        else if (!strcmp(argv[i], "--threads") && i + 1 < argc)
            threads = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--precision") && i + 1 < argc)
            status = pph_precision_parse(argv[++i], &options.precision, &err);
        else
            status = PPH_FAIL(&err, PPH_INVALID_ARGUMENT, "%s?", argv[i]);
    }
    if (status == PPH_OK)
        status = pph_team_new(&options.team, threads, &err);
    if (status == PPH_OK)
        status = pph_model_open(&in.model, argv[1], &options, &err);
    if (status == PPH_OK) {
        in.info = pph_model_describe(in.model);
        fprintf(stderr, "%s, %zu MB\n", pph_precision_name(in.info->precision),
                pph_model_bytes(in.model) >> 20);
        status = serve(&in, vector, &err);
    }
    if (status != PPH_OK)
        fprintf(stderr, "bench_text: %s\n", err.message);
    pph_model_close(&in.model);
    pph_team_free(&options.team);
    pph_free(in.ids);
    pph_free(in.lengths);
    pph_free(in.out);
    return status != PPH_OK;
}
