/* The monotonic clock. Stateless. */
#include "base/clock.h"

pph_nanos pph_clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (pph_nanos)now.tv_sec * 1000000000 + now.tv_nsec;
}

pph_nanos pph_clock_after(pph_nanos duration)
{
    pph_nanos now = pph_clock_now(), instant;
    if (duration < 0)
        return now;
    return __builtin_add_overflow(now, duration, &instant) ? PPH_FOREVER : instant;
}

pph_nanos pph_clock_after_ms(int64_t timeout_ms)
{
    if (timeout_ms < 0 || timeout_ms > INT64_MAX / 1000000)
        return PPH_FOREVER;
    return pph_clock_after(PPH_MILLIS(timeout_ms));
}

struct timespec pph_clock_timespec(pph_nanos instant)
{
    if (instant < 0)
        instant = 0;
    return (struct timespec){.tv_sec = (time_t)(instant / 1000000000),
                             .tv_nsec = (long)(instant % 1000000000)};
}
