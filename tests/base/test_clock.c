/* The clock goes forward, and instants far away do not wrap round to the past. */
#include "base/clock.h"

#include "check.h"

static void time_never_goes_back(void **state)
{
    (void)state;
    pph_nanos last = pph_clock_now();
    assert_true(last > 0);
    for (int i = 0; i < 100000; i++) {
        pph_nanos now = pph_clock_now();
        assert_true(now >= last);
        last = now;
    }
}

static void far_instants_do_not_wrap(void **state)
{
    (void)state;
    assert_true(pph_clock_after(PPH_FOREVER) == PPH_FOREVER);
    assert_true(pph_clock_after(PPH_FOREVER - 1) == PPH_FOREVER);
    pph_nanos before = pph_clock_now();
    pph_nanos past = pph_clock_after(-PPH_SECONDS(5)), soon = pph_clock_after(PPH_SECONDS(5));
    pph_nanos after = pph_clock_now();
    assert_true(past >= before && past <= after);
    assert_true(soon >= before + PPH_SECONDS(5) && soon <= after + PPH_SECONDS(5));
    assert_true(pph_clock_after(INT64_MIN) >= before);
}

static void instants_become_timespecs(void **state)
{
    (void)state;
    struct timespec spec = pph_clock_timespec(PPH_SECONDS(3) + 7);
    assert_int_equal(spec.tv_sec, 3);
    assert_int_equal(spec.tv_nsec, 7);
    spec = pph_clock_timespec(PPH_MILLIS(1999));
    assert_int_equal(spec.tv_sec, 1);
    assert_int_equal(spec.tv_nsec, 999000000);
    spec = pph_clock_timespec(PPH_FOREVER);
    assert_true(spec.tv_sec > 1000000000 && spec.tv_nsec >= 0 && spec.tv_nsec < 1000000000);
    /* An instant before the clock's start is over, not an invalid number of nanoseconds. */
    spec = pph_clock_timespec(-1);
    assert_true(spec.tv_nsec >= 0 && spec.tv_nsec < 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(far_instants_do_not_wrap),
        cmocka_unit_test(instants_become_timespecs),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
