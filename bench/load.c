/* Callers in a closed loop. A caller is a thread with a buffer of its own; the run's gate, a
 * mutex that is held while they are started, lets all go at once, and the first failure stops all. */
#include "load.h"

#include "base/mem.h"
#include "base/thread.h"

#include <math.h>
#include <paraphym/runtime.h>
#include <stdlib.h>

typedef struct run {
    const bench_load *load;
    pthread_mutex_t gate;
    pph_nanos until;
    atomic_uint_fast64_t sent;
    atomic_bool stop;
} run;

typedef struct caller {
    run *run;
    pthread_t thread;
    uint8_t *room;
    bench_samples times;
    pph_nanos first, last;
    pph_error err;
} caller;

pph_nanos bench_cpu_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return PPH_SECONDS(now.tv_sec) + now.tv_nsec;
}

pph_status bench_samples_add(bench_samples *samples, double value, pph_error *err)
{
    if (samples->count == samples->room) {
        size_t room = samples->room ? 2 * samples->room : 256;
        double *more = pph_resize(samples->at, room, sizeof *more);
        if (!more)
            return PPH_FAIL_MEMORY(err, room * sizeof *more);
        samples->at = more;
        samples->room = room;
    }
    samples->at[samples->count++] = value;
    return PPH_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double rank(const bench_samples *samples, double share)
{
    size_t at = (size_t)ceil(share * (double)samples->count);
    return samples->at[at ? at - 1 : 0];
}

bench_times bench_samples_sum_up(bench_samples *samples)
{
    if (!samples->count)
        return (bench_times){0};
    qsort(samples->at, samples->count, sizeof *samples->at, by_size);
    double sum = 0;
    for (size_t i = 0; i < samples->count; i++)
        sum += samples->at[i];
    return (bench_times){rank(samples, 0.5), rank(samples, 0.9), rank(samples, 0.99),
                         rank(samples, 1), sum / (double)samples->count};
}

void bench_samples_deinit(bench_samples *samples)
{
    pph_free(samples->at);
    *samples = (bench_samples){0};
}

static pph_status ask(caller *it, pph_error *err)
{
    const bench_load *load = it->run->load;
    uint64_t number = atomic_fetch_add(load->number, 1);
    size_t size = bench_pictures_take(load->pictures, number, it->room);
    pph_nanos before = pph_clock_now();
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_multimodal_embed_image_bytes(load->multimodal, it->room, size);
    PPH_TRY(pph_block_on(future, err));
    it->last = pph_clock_now();
    const pph_embeddings *answer = pph_future_value(future);
    double squares = 0;
    for (size_t i = 0; i < answer->dimensions; i++)
        squares += (double)answer->vectors[i] * answer->vectors[i];
    if (answer->count != 1 || !(fabs(squares - 1) < 1e-3))
        return PPH_FAIL(err, PPH_INTERNAL, "picture %llu: %zu vectors, of length %g, for one of 1",
                        (unsigned long long)number, answer->count, sqrt(squares));
    return bench_samples_add(&it->times, (double)(it->last - before) * 1e-6, err);
}

static void *call(void *context)
{
    caller *it = context;
    run *r = it->run;
    pthread_mutex_lock(&r->gate);
    pthread_mutex_unlock(&r->gate);
    it->first = pph_clock_now();
    while (!atomic_load(&r->stop) && pph_clock_now() < r->until &&
           (!r->load->requests || atomic_fetch_add(&r->sent, 1) < r->load->requests))
        if (ask(it, &it->err) != PPH_OK)
            atomic_store(&r->stop, true);
    return NULL;
}

static pph_status sum_up(caller *callers, size_t count, bench_result *out, pph_error *err)
{
    pph_nanos first = PPH_FOREVER, last = 0;
    bench_samples all = {0};
    pph_status status = PPH_OK;
    for (size_t i = 0; status == PPH_OK && i < count; i++) {
        if (callers[i].err.status != PPH_OK)
            status = PPH_FAIL(err, callers[i].err.status, "%s", callers[i].err.message);
        for (size_t k = 0; status == PPH_OK && k < callers[i].times.count; k++)
            status = bench_samples_add(&all, callers[i].times.at[k], err);
        first = PPH_MIN(first, callers[i].first);
        last = PPH_MAX(last, callers[i].last);
    }
    if (status == PPH_OK && !all.count)
        status = PPH_FAIL(err, PPH_INVALID_ARGUMENT, "no request was sent: ask for more seconds");
    if (status == PPH_OK) {
        out->requests = all.count;
        out->seconds = (double)(last - first) * 1e-9;
        out->latency = bench_samples_sum_up(&all);
    }
    bench_samples_deinit(&all);
    return status;
}

static pph_status start_all(run *r, caller *callers, size_t *started, pph_error *err)
{
    size_t count = r->load->callers;
    for (*started = 0; *started < count; ++*started) {
        caller *it = &callers[*started];
        it->run = r;
        it->room = pph_alloc(r->load->pictures->largest);
        if (!it->room)
            return PPH_FAIL_MEMORY(err, r->load->pictures->largest);
        PPH_TRY(pph_thread_start(&it->thread, "caller", call, it, err));
    }
    return PPH_OK;
}

pph_status bench_load_run(const bench_load *load, bench_result *out, pph_error *err)
{
    PPH_AUTO(pph_free_at) caller *callers = pph_alloc_array(load->callers, sizeof *callers);
    if (!callers)
        return PPH_FAIL_MEMORY(err, load->callers * sizeof *callers);
    run r = {.load = load, .until = PPH_FOREVER};
    pthread_mutex_init(&r.gate, NULL);
    pthread_mutex_lock(&r.gate);
    size_t started;
    pph_status status = start_all(&r, callers, &started, err);
    if (load->seconds > 0)
        r.until = pph_clock_after((pph_nanos)(load->seconds * 1e9));
    pph_nanos cpu = bench_cpu_time();
    atomic_store(&r.stop, status != PPH_OK);
    pthread_mutex_unlock(&r.gate);
    for (size_t i = 0; i < started; i++)
        pthread_join(callers[i].thread, NULL);
    if (status == PPH_OK)
        status = sum_up(callers, started, out, err);
    out->cpu_seconds = (double)(bench_cpu_time() - cpu) * 1e-9;
    for (size_t i = 0; i < load->callers; i++) {
        pph_free(callers[i].room);
        bench_samples_deinit(&callers[i].times);
    }
    pthread_mutex_destroy(&r.gate);
    return status;
}
