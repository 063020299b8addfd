/* Loads the service with callers, through the public functions alone.
 *
 *   bench_pool FOLDER [--callers 1,8,64] [--seconds S] [--requests N]       throughput and latency
 *   bench_pool FOLDER --mixed FOLDER2 [--job 16] [--seconds S]              beside long jobs
 *   bench_pool FOLDER --cycles N                                            open, embed, close
 *   bench_pool FOLDER --ask                                                 in turn with another
 *   bench_pool --write FILE                                                 the picture, to a file
 *   with [--size 224x224 | --images FILE... --] [--threads N] [--precision P]
 *
 * Each caller sends one picture, waits for its vector and sends the next. The picture is a PNG of
 * 256 colours, in every request with colours of its own, so that no answer can be shared; files are
 * sent in turn, and only such PNGs among them are varied. One JSON line a measurement. cpu_seconds
 * is what the process used of all processors: on a busy machine it says more than the clock.
 *
 * --ask prints "ready", then reads lines "CALLERS SECONDS" and answers each; an empty line or the
 * end of input ends it.
 *
 * --mixed: one caller on the first model, alone, then while the second is kept busy with batches of
 * --job pictures, two under way at any time. A step is the mean time between two such batches'
 * ends while nothing else runs (the mean, since two that share steps end together); an embedding should wait for two at most beside its own time. */
#include "load.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"

#include <paraphym/runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATHS = 4096, LISTED = 16, JOB_MOST = 256 };

typedef struct settings {
    const char *folder, *second, *write;
    size_t callers[LISTED], listed, job, cycles;
    double seconds;
    uint64_t requests;
    bool ask;
    uint32_t width, height;
    char *paths[PATHS];
    size_t path_count;
    pph_pool_options pool;
    pph_multimodal_options model;
} settings;

typedef struct bench {
    const settings *set;
    pph_pool *pool;
    bench_pictures pictures;
    atomic_uint_fast64_t number;
} bench;

static pph_status load(bench *b, pph_multimodal *multimodal, size_t callers, double seconds,
                       uint64_t requests, bench_result *out, pph_error *err)
{
    const bench_load what = {multimodal, &b->pictures, &b->number, callers, seconds, requests};
    return bench_load_run(&what, out, err);
}

/* Open a model and wait until it has answered alone and in batches. */
static pph_status open_model(bench *b, const char *folder, pph_multimodal **out, pph_error *err)
{
    bench_result warm;
    PPH_TRY(pph_multimodal_open(out, b->pool, folder, &b->set->model, err));
    PPH_TRY(load(b, *out, 1, 0, 1, &warm, err));
    return load(b, *out, 8, 0, 32, &warm, err);
}

static void print_times(const bench_times *times)
{
    printf("\"p50_ms\": %.2f, \"p90_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f", times->p50,
           times->p90, times->p99, times->most);
}

static pph_status measure(bench *b, pph_multimodal *multimodal, size_t callers, double seconds,
                          pph_error *err)
{
    bench_result result;
    PPH_TRY(load(b, multimodal, callers, seconds, b->set->requests, &result, err));
    printf("{\"callers\": %zu, \"requests\": %zu, \"seconds\": %.3f, \"cpu_seconds\": %.3f, "
           "\"images_per_second\": %.2f, ",
           callers, result.requests, result.seconds, result.cpu_seconds,
           (double)result.requests / result.seconds);
    print_times(&result.latency);
    printf("}\n");
    fflush(stdout);
    return PPH_OK;
}

static pph_status measure_all(bench *b, pph_error *err)
{
    const settings *set = b->set;
    PPH_AUTO(pph_multimodal_close) pph_multimodal *multimodal = NULL;
    PPH_TRY(open_model(b, set->folder, &multimodal, err));
    for (size_t i = 0; i < set->listed && !set->ask; i++)
        PPH_TRY(measure(b, multimodal, set->callers[i], set->seconds, err));
    if (!set->ask)
        return PPH_OK;
    printf("ready\n");
    fflush(stdout);
    char line[100];
    while (fgets(line, sizeof line, stdin)) {
        size_t callers;
        double seconds;
        if (sscanf(line, "%zu %lf", &callers, &seconds) != 2)
            break;
        if (!callers || callers > 10000 || !(seconds > 0))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "CALLERS from 1 to 10000, SECONDS above 0");
        PPH_TRY(measure(b, multimodal, callers, seconds, err));
    }
    return PPH_OK;
}

/* Long jobs: two batches under way at any time, until told to stop. */
typedef struct jobs {
    bench *b;
    pph_multimodal *multimodal;
    uint8_t *rooms;
    atomic_bool stop;
    bench_samples steps;
    pph_error err;
} jobs;

static pph_future *send_job(jobs *j)
{
    const bench_pictures *pictures = &j->b->pictures;
    pph_input inputs[JOB_MOST];
    for (size_t i = 0; i < j->b->set->job; i++) {
        uint8_t *room = j->rooms + i * pictures->largest;
        uint64_t number = atomic_fetch_add(&j->b->number, 1);
        inputs[i] = pph_input_bytes(room, bench_pictures_take(pictures, number, room));
    }
    return pph_multimodal_batch_embed_images(j->multimodal, inputs, j->b->set->job);
}

static pph_status await_job(pph_future *job, pph_error *err)
{
    PPH_TRY(pph_block_on(job, err));
    const pph_embeddings *answer = pph_future_value(job);
    for (size_t i = 0; i < answer->count; i++)
        if (answer->errors[i].status != PPH_OK)
            return PPH_FAIL(err, answer->errors[i].status, "%s", answer->errors[i].message);
    return PPH_OK;
}

static void *keep_busy(void *context)
{
    jobs *j = context;
    pph_future *way[2] = {send_job(j), send_job(j)};
    pph_status status = await_job(way[0], &j->err);
    pph_nanos last = pph_clock_now();
    for (size_t i = 0; status == PPH_OK && !atomic_load(&j->stop); i ^= 1) {
        pph_future_free(&way[i]);
        way[i] = send_job(j);
        status = await_job(way[i ^ 1], &j->err);
        pph_nanos now = pph_clock_now();
        if (status == PPH_OK)
            status = bench_samples_add(&j->steps, (double)(now - last) * 1e-6, &j->err);
        last = now;
    }
    for (size_t i = 0; i < 2; i++) {
        pph_future_cancel(way[i]);
        pph_future_free(&way[i]);
    }
    return NULL;
}

/* Run long jobs for the seconds set, with a caller on `first` meanwhile unless it is NULL. */
static pph_status beside_jobs(jobs *j, pph_multimodal *first, bench_times *steps,
                              bench_result *result, pph_error *err)
{
    const settings *set = j->b->set;
    pthread_t thread;
    atomic_store(&j->stop, false);
    PPH_TRY(pph_thread_start(&thread, "jobs", keep_busy, j, err));
    pph_status status = PPH_OK;
    if (first) {
        status = load(j->b, first, 1, set->seconds, set->requests, result, err);
    } else {
        struct timespec rest = pph_clock_timespec(pph_clock_after((pph_nanos)(set->seconds * 1e9)));
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &rest, NULL) != 0)
            ;
    }
    atomic_store(&j->stop, true);
    pthread_join(thread, NULL);
    *steps = bench_samples_sum_up(&j->steps);
    bench_samples_deinit(&j->steps);
    if (status == PPH_OK && j->err.status != PPH_OK)
        status = PPH_FAIL(err, j->err.status, "the long job: %s", j->err.message);
    if (status == PPH_OK && steps->mean <= 0)
        status = PPH_FAIL(err, PPH_TIMEOUT, "no two long jobs ended: ask for more seconds");
    return status;
}

static pph_status measure_mixed(bench *b, pph_error *err)
{
    PPH_AUTO(pph_multimodal_close) pph_multimodal *first = NULL, *second = NULL;
    PPH_TRY(open_model(b, b->set->folder, &first, err));
    PPH_TRY(open_model(b, b->set->second, &second, err));
    jobs j = {.b = b, .multimodal = second};
    j.rooms = pph_alloc_array(b->set->job, b->pictures.largest);
    if (!j.rooms)
        return PPH_FAIL_MEMORY(err, b->set->job * b->pictures.largest);
    bench_result alone, both;
    bench_times step, slowed;
    pph_status status = load(b, first, 1, b->set->seconds, b->set->requests, &alone, err);
    if (status == PPH_OK)
        status = beside_jobs(&j, NULL, &step, NULL, err);
    if (status == PPH_OK)
        status = beside_jobs(&j, first, &slowed, &both, err);
    pph_free(j.rooms);
    PPH_TRY(status);
    double bound = 2 * step.mean + alone.latency.p50;
    printf("{\"mixed\": %zu, \"requests\": %zu, ", b->set->job, both.requests);
    print_times(&both.latency);
    printf(", \"alone_p50_ms\": %.2f, \"alone_p99_ms\": %.2f, \"step_ms\": %.2f, "
           "\"step_beside_ms\": %.2f, \"bound_ms\": %.2f, \"p99_of_bound\": %.3f}\n",
           alone.latency.p50, alone.latency.p99, step.mean, slowed.mean, bound,
           both.latency.p99 / bound);
    return PPH_OK;
}

/* Resident memory in MB: all of it, and what is no file's. */
static pph_status read_memory(double *all, double *anonymous, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(1 << 16);
    PPH_TRY(pph_file_read("/proc/self/status", &text, err));
    const char *status = pph_buffer_text(&text);
    const char *rss = status ? strstr(status, "VmRSS:") : NULL;
    const char *own = status ? strstr(status, "RssAnon:") : NULL;
    if (!rss || !own)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "/proc/self/status does not say VmRSS and RssAnon");
    *all = strtod(rss + 6, NULL) / 1024;
    *anonymous = strtod(own + 8, NULL) / 1024;
    return PPH_OK;
}

static pph_status measure_cycles(bench *b, pph_error *err)
{
    double start, start_own, first = 0, before, before_own, open, open_own, after, after_own;
    PPH_TRY(read_memory(&start, &start_own, err));
    for (size_t i = 1; i <= b->set->cycles; i++) {
        PPH_AUTO(pph_multimodal_close) pph_multimodal *multimodal = NULL;
        PPH_TRY(read_memory(&before, &before_own, err));
        PPH_TRY(open_model(b, b->set->folder, &multimodal, err));
        PPH_TRY(read_memory(&open, &open_own, err));
        pph_multimodal_close(&multimodal);
        PPH_TRY(read_memory(&after, &after_own, err));
        first = i == 1 ? after : first;
        printf("{\"cycle\": %zu, \"before_mb\": %.1f, \"open_mb\": %.1f, \"after_mb\": %.1f, "
               "\"before_anonymous_mb\": %.1f, \"open_anonymous_mb\": %.1f, "
               "\"after_anonymous_mb\": %.1f}\n",
               i, before, open, after, before_own, open_own, after_own);
        fflush(stdout);
    }
    printf("{\"cycles\": %zu, \"start_mb\": %.1f, \"first_mb\": %.1f, \"last_mb\": %.1f, "
           "\"last_of_start\": %.4f, \"last_of_first\": %.4f}\n",
           b->set->cycles, start, first, after, after / start, after / first);
    return PPH_OK;
}

static pph_status read_callers(const char *text, settings *set, pph_error *err)
{
    for (char *end; *text; text = *end ? end + 1 : end) {
        unsigned long callers = strtoul(text, &end, 10);
        if (!callers || callers > 10000 || (*end && *end != ',') || set->listed == LISTED)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "--callers %s: up to %d numbers from 1 to 10000", text, LISTED);
        set->callers[set->listed++] = callers;
    }
    return PPH_OK;
}

static pph_status read_option(char **argv, int *i, settings *set, pph_error *err)
{
    const char *name = argv[*i];
    if (!strcmp(name, "--ask")) {
        set->ask = true;
        return PPH_OK;
    }
    const char *value = argv[*i + 1];
    if (!value)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s?", name);
    ++*i;
    if (!strcmp(name, "--images")) {
        for (; argv[*i] && strcmp(argv[*i], "--") != 0 && set->path_count < PATHS; ++*i)
            set->paths[set->path_count++] = argv[*i];
        *i -= !argv[*i];
        return PPH_OK;
    }
    if (!strcmp(name, "--precision"))
        return pph_precision_parse(value, &set->model.precision, err);
    if (!strcmp(name, "--callers"))
        return read_callers(value, set, err);
    if (!strcmp(name, "--mixed"))
        set->second = value;
    else if (!strcmp(name, "--write"))
        set->write = value;
    else if (!strcmp(name, "--seconds"))
        set->seconds = strtod(value, NULL);
    else if (!strcmp(name, "--requests"))
        set->requests = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--cycles"))
        set->cycles = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--job"))
        set->job = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--threads"))
        set->pool.threads = atoi(value);
    else if (strcmp(name, "--size") || sscanf(value, "%ux%u", &set->width, &set->height) != 2)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s %s?", name, value);
    return PPH_OK;
}

static pph_status read_settings(char **argv, settings *set, pph_error *err)
{
    *set = (settings){.width = 224, .height = 224, .job = 16, .seconds = 10};
    set->pool = pph_pool_defaults();
    set->model = pph_multimodal_defaults();
    for (int i = 1; argv[i]; i++) {
        if (argv[i][0] == '-')
            PPH_TRY(read_option(argv, &i, set, err));
        else
            set->folder = argv[i];
    }
    if (!set->folder && !set->write)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "FOLDER?");
    if (!set->job || set->job > JOB_MOST || !(set->seconds > 0) || set->width - 1 > 16383 ||
        set->height - 1 > 16383)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "--job from 1 to %d, --seconds above 0, --size from 1x1 to 16384x16384",
                        JOB_MOST);
    if (!set->listed)
        PPH_TRY(read_callers("1,8,64", set, err));
    return PPH_OK;
}

static pph_status serve(bench *b, pph_error *err)
{
    const settings *set = b->set;
    if (set->path_count)
        PPH_TRY(bench_pictures_read(&b->pictures, set->paths, set->path_count, err));
    else
        PPH_TRY(bench_pictures_make(&b->pictures, set->width, set->height, err));
    if (set->write)
        return pph_file_write(set->write, b->pictures.at->bytes, b->pictures.at->size, err);
    PPH_TRY(pph_pool_open(&b->pool, &set->pool, err));
    if (set->cycles)
        return measure_cycles(b, err);
    return set->second ? measure_mixed(b, err) : measure_all(b, err);
}

int main(int argc, char **argv)
{
    (void)argc;
    settings set;
    bench b = {.set = &set};
    pph_error err = {PPH_OK, ""};
    pph_status status = read_settings(argv, &set, &err);
    if (status == PPH_OK)
        status = serve(&b, &err);
    if (status != PPH_OK)
        fprintf(stderr, "bench_pool: %s\n", err.message);
    pph_pool_close(&b.pool);
    bench_pictures_deinit(&b.pictures);
    return status != PPH_OK;
}
