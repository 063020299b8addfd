/* cmocka with what it wants included before it, and the checks that every test here needs. */
#ifndef PPH_TESTS_CHECK_H
#define PPH_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include <string.h>

/* The bytes of a buffer are exactly those of a string literal. */
#define assert_bytes(buffer, literal)                                           \
    do {                                                                        \
        assert_int_equal((buffer).size, sizeof(literal) - 1);                   \
        if (sizeof(literal) > 1)                                                \
            assert_memory_equal((buffer).data, (literal), sizeof(literal) - 1); \
    } while (0)

/* `call` fails with `wanted`, and the sentence in `err` contains `words`. */
#define assert_fails(call, wanted, err, words)           \
    do {                                                 \
        (err) = (pph_error){0};                          \
        assert_int_equal((call), (wanted));              \
        assert_int_equal((err).status, (wanted));        \
        assert_non_null(strstr((err).message, (words))); \
    } while (0)

/* Run `call` with the 1st, 2nd, ... allocation failing until it no longer fails: each time the
 * status must be PPH_OUT_OF_MEMORY, or `call` succeed without needing that allocation. `clean` runs
 * after each. Needs at least `least` failures, so that a sweep over nothing cannot pass. */
#define sweep_allocations(call, clean, least)             \
    do {                                                  \
        uint64_t failures_ = 0;                           \
        for (uint64_t nth_ = 1;; nth_++) {                \
            pph_mem_fail_at(nth_, false);                 \
            pph_status status_ = (call);                  \
            bool reached_ = pph_mem_count() >= nth_;      \
            pph_mem_fail_at(0, false);                    \
            clean;                                        \
            if (!reached_) {                              \
                assert_int_equal(status_, PPH_OK);        \
                break;                                    \
            }                                             \
            assert_int_equal(status_, PPH_OUT_OF_MEMORY); \
            failures_++;                                  \
        }                                                 \
        assert_true(failures_ >= (least));                \
    } while (0)

#endif
