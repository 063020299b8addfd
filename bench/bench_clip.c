/* Times a CLIP model's towers on made-up input, through the model itself.
 *
 *   bench_clip FOLDER [--threads N] [--precision P] [--text] [--vector]
 *
 * Reads lines "BATCH REPEATS" from standard input and answers each with the median and the least
 * milliseconds of a batch; an empty line or the end of input ends it. --text embeds texts of 16 tokens instead of
 * pictures; --vector prints the vector of one picture of a fixed pattern, as peer_clip.py does. */
#include "base/clock.h"
#include "base/mem.h"
#include "model/clip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 16, REPEATS = 1000 };

typedef struct input {
    pph_clip *clip;
    const pph_clip_info *info;
    bool text;
    float *pixels, *out;
    const float **pictures; /* where each begins */
    int32_t *ids;
    size_t *lengths;
} input;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static pph_status embed(const input *in, size_t batch, pph_error *err)
{
    if (in->text)
        return pph_clip_embed_tokens(in->clip, batch, in->ids, in->lengths, in->out, err);
    return pph_clip_embed_pixels(in->clip, batch, in->pictures, in->out, NULL, err);
}

static pph_status prepare(input *in, size_t batch, pph_error *err)
{
    size_t picture = 3 * in->info->image_side * in->info->image_side;
    pph_free(in->pixels);
    pph_free(in->pictures);
    pph_free(in->out);
    pph_free(in->ids);
    pph_free(in->lengths);
    in->pixels = pph_alloc_array(batch * picture, sizeof *in->pixels);
    in->out = pph_alloc_array(batch * in->info->dimensions, sizeof *in->out);
    in->ids = pph_alloc_array(batch * TOKENS, sizeof *in->ids);
    in->lengths = pph_alloc_array(batch, sizeof *in->lengths);
    in->pictures = pph_alloc_array(batch, sizeof *in->pictures);
    if (!in->pixels || !in->pictures || !in->out || !in->ids || !in->lengths)
        return PPH_FAIL_MEMORY(err, batch * picture * sizeof *in->pixels);
    for (size_t i = 0; i < batch * picture; i++)
        in->pixels[i] = (float)sin((double)i * 0.37);
    for (size_t i = 0; i < batch; i++) {
        in->pictures[i] = in->pixels + i * picture;
        in->lengths[i] = TOKENS;
    }
    for (size_t i = 0; in->text && i < batch * TOKENS; i++)
        in->ids[i] = (int32_t)(i % TOKENS == TOKENS - 1 ? in->info->vocabulary - 1
                                                        : i * 997 % in->info->vocabulary / 2);
    return PPH_OK;
}

static pph_status measure(input *in, size_t batch, size_t repeats, pph_error *err)
{
    double times[REPEATS];
    PPH_TRY(prepare(in, batch, err));
    PPH_TRY(embed(in, batch, err));
    for (size_t i = 0; i < repeats; i++) {
        pph_nanos before = pph_clock_now();
        PPH_TRY(embed(in, batch, err));
        times[i] = (double)(pph_clock_now() - before) * 1e-6;
    }
    qsort(times, repeats, sizeof *times, by_size);
    printf("%.3f %.3f\n", times[repeats / 2], times[0]);
    fflush(stdout);
    return PPH_OK;
}

static pph_status print_vector(input *in, pph_error *err)
{
    PPH_TRY(prepare(in, 1, err));
    PPH_TRY(embed(in, 1, err));
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
        size_t batch, repeats;
        if (sscanf(line, "%zu %zu", &batch, &repeats) != 2)
            break;
        if (!batch || !repeats || repeats > REPEATS)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "BATCH from 1, REPEATS from 1 to %d",
                            REPEATS);
        PPH_TRY(measure(in, batch, repeats, err));
    }
    return PPH_OK;
}

int main(int argc, char **argv)
{
    input in = {.clip = NULL};
    int threads = 0;
    bool vector = false;
    pph_error err = {PPH_OK, ""};
    pph_clip_options options = {.precision = PPH_PRECISION_AUTO};
    pph_status status = argc > 1 ? PPH_OK : PPH_FAIL(&err, PPH_INVALID_ARGUMENT, "FOLDER?");
    for (int i = 2; status == PPH_OK && i < argc; i++) {
        if (!strcmp(argv[i], "--text"))
            in.text = true;
        else if (!strcmp(argv[i], "--vector"))
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
    options.towers = in.text ? PPH_CLIP_TEXT : PPH_CLIP_VISION;
    pph_nanos before = pph_clock_now();
    if (status == PPH_OK)
        status = pph_clip_open(&in.clip, argv[1], &options, &err);
    if (status == PPH_OK) {
        in.info = pph_clip_describe(in.clip);
        fprintf(stderr, "opened in %.0f ms, %s, %zu MB\n",
                (double)(pph_clock_now() - before) * 1e-6, pph_precision_name(in.info->precision),
                pph_clip_bytes(in.clip) >> 20);
        status = serve(&in, vector, &err);
    }
    if (status != PPH_OK)
        fprintf(stderr, "bench_clip: %s\n", err.message);
    pph_clip_close(&in.clip);
    pph_team_free(&options.team);
    return status != PPH_OK;
}
