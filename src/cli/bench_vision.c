/* How long a look takes: the tower and the projector, alone, on noise. */
#include "cli/bench_vision.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "pool/gguf_folder.h"
#include "pool/sight.h"
#include <stdlib.h>
#include <string.h>

typedef struct bench_work {
    pph_team *team;
    pph_llava_vision *vision;
    const pph_llava_vision_info *info;
    float *pixels, *rows;
    double *seconds;
} bench_work;

static void bench_deinit(bench_work *bench)
{
    pph_llava_vision_close(&bench->vision);
    pph_team_free(&bench->team);
    pph_free(bench->pixels);
    pph_free(bench->rows);
    pph_free(bench->seconds);
}

static pph_status find_part(const pph_common *common, const char *projector, char **out,
                            pph_error *err)
{
    PPH_AUTO(pph_free_at) char *model = NULL;
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_AUTO(pph_free_at) char *part = NULL;
    PPH_TRY(pph_command_projector(projector, &part, err));
    projector = part;
    if (!projector) {
        PPH_TRY(pph_command_language_model(common, &model, err));
        PPH_TRY(pph_gguf_folder_resolve(&path, model, err));
        if (strstr(pph_path_name(path), "mmproj"))
            projector = path;
    }
    return pph_sight_find(out, path, projector, err);
}

static pph_status open_bench(bench_work *bench, const pph_common *common, const char *projector,
                             long runs, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *part = NULL;
    PPH_TRY(find_part(common, projector, &part, err));
    PPH_TRY(pph_team_new(&bench->team, (int)common->threads, err));
    const pph_llava_vision_options options = {.team = bench->team, .precision = common->precision};
    PPH_TRY(pph_llava_vision_open(&bench->vision, part, &options, err));
    bench->info = pph_llava_vision_describe(bench->vision);
    size_t count = 3 * bench->info->side * bench->info->side;
    bench->pixels = pph_alloc_array(count, sizeof *bench->pixels);
    bench->rows = pph_alloc_array(bench->info->rows, bench->info->width * sizeof *bench->rows);
    bench->seconds = pph_alloc_array((size_t)runs, sizeof *bench->seconds);
    if (!bench->pixels || !bench->rows || !bench->seconds)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the measurement");
    uint32_t noise = 1;
    for (size_t i = 0; i < count; i++) {
        noise = noise * 1664525u + 1013904223u;
        bench->pixels[i] = (float)(noise >> 16) / 16384.0F - 2.0F;
    }
    return PPH_OK;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(const bench_work *bench, const pph_common *common, long runs)
{
    double median = bench->seconds[runs / 2];
    const char *precision = pph_precision_name(bench->info->precision);
    int threads = pph_team_threads(bench->team);
    if (common->json)
        printf("{\"seconds_per_image\":%.6f,\"seconds_min\":%.6f,\"rows\":%zu,\"side\":%zu,"
               "\"runs\":%ld,\"precision\":\"%s\",\"threads\":%d}\n",
               median, bench->seconds[0], bench->info->rows, bench->info->side, runs, precision,
               threads);
    else
        printf("%.3f seconds a picture of %zu by %zu pixels, which becomes %zu rows (median of %ld "
               "runs, best %.3f), %s, %d thread%s\n",
               median, bench->info->side, bench->info->side, bench->info->rows, runs,
               bench->seconds[0], precision, threads, threads == 1 ? "" : "s");
}

pph_status pph_bench_vision(const pph_common *common, const char *projector, long runs,
                            pph_error *err)
{
    PPH_AUTO(bench_deinit) bench_work bench = {0};
    PPH_TRY(open_bench(&bench, common, projector, runs, err));
    for (long i = -1; i < runs; i++) { /* the first is not counted */
        pph_nanos begin = pph_clock_now();
        PPH_TRY(pph_llava_vision_embed(bench.vision, 1, bench.pixels, bench.rows, err));
        if (i >= 0)
            bench.seconds[i] = (double)(pph_clock_now() - begin) / 1e9;
    }
    qsort(bench.seconds, (size_t)runs, sizeof *bench.seconds, compare);
    print_result(&bench, common, runs);
    return PPH_OK;
}
