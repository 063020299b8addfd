/* Time that only goes forward. Any thread. */
#ifndef PPH_BASE_CLOCK_H
#define PPH_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* A duration or an instant of the monotonic clock, in nanoseconds. */
typedef int64_t pph_nanos;

#define PPH_MILLIS(n)  ((pph_nanos)(n)*1000000)
#define PPH_SECONDS(n) ((pph_nanos)(n)*1000000000)
#define PPH_FOREVER    INT64_MAX

pph_nanos pph_clock_now(void);
/* now + duration, without overflow: PPH_FOREVER stays for ever; a negative duration is 0. */
pph_nanos pph_clock_after(pph_nanos duration);
/* The same for a time-out in milliseconds as public functions take it: negative is for ever. */
pph_nanos pph_clock_after_ms(int64_t timeout_ms);
/* An instant of pph_clock_now as the timespec that pthread_cond_timedwait wants for conditions
 * made by pph_cond_init. What lies before the clock's start becomes its start. */
struct timespec pph_clock_timespec(pph_nanos instant);

#endif
