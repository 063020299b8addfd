/* Callers in a closed loop: each sends a picture, waits for its vector, sends the next. */
#ifndef PPH_BENCH_LOAD_H
#define PPH_BENCH_LOAD_H

#include "base/clock.h"
#include "pictures.h"

#include <paraphym/multimodal.h>
#include <stdatomic.h>

/* What a run is asked for. It ends after `seconds`, or when `requests` have been sent (0: no
 * such end); what was sent is waited for. */
typedef struct bench_load {
    pph_multimodal *multimodal;
    const bench_pictures *pictures;
    atomic_uint_fast64_t *number; /* of the next picture; one counter for all runs of a process */
    size_t callers;
    double seconds;
    uint64_t requests;
} bench_load;

/* Milliseconds. Percentiles by nearest rank. */
typedef struct bench_times {
    double p50, p90, p99, most, mean;
} bench_times;

/* seconds      from the first sending to the last answer
 * cpu_seconds  of the whole process meanwhile, all threads */
typedef struct bench_result {
    size_t requests;
    double seconds, cpu_seconds;
    bench_times latency;
} bench_result;

/* Errors  the first that a caller was answered with: a measurement with failures is none */
PPH_CHECKED pph_status bench_load_run(const bench_load *load, bench_result *out, pph_error *err);

/* Durations in milliseconds that grow as they come. All zeros is empty. */
typedef struct bench_samples {
    double *at;
    size_t count, room;
} bench_samples;

PPH_CHECKED pph_status bench_samples_add(bench_samples *samples, double value, pph_error *err);
/* Sorts them. All zeros when there are none. */
bench_times bench_samples_sum_up(bench_samples *samples);
void bench_samples_deinit(bench_samples *samples);

/* CPU time of the process, all threads. */
pph_nanos bench_cpu_time(void);

#endif
