/* The one idiom for errors and for giving things back.
 *
 *   pph_status thing_make(pph_thing **out, pph_error *err)
 *   {
 *       PPH_AUTO(pph_thing_free) pph_thing *thing = pph_alloc(sizeof *thing);
 *       if (!thing)
 *           return PPH_FAIL_MEMORY(err, sizeof *thing);
 *       PPH_TRY(part_open(&thing->part, err));
 *       if (thing->part.size > limit)
 *           return PPH_FAIL(err, PPH_TOO_LARGE, "%s: %zu bytes, at most %zu", ...);
 *       *out = PPH_TAKE(thing);
 *       return PPH_OK;
 *   }
 */
#ifndef PPH_BASE_ERROR_H
#define PPH_BASE_ERROR_H

#include <paraphym/status.h>
#include <stddef.h>

/* Return from this function with the callee's status when it is not success. */
#define PPH_TRY(call)                                       \
    do {                                                    \
        pph_status pph_try_status_ = (call);                \
        if (__builtin_expect(pph_try_status_ != PPH_OK, 0)) \
            return pph_try_status_;                         \
    } while (0)

/* Fill *err (when not NULL) and give the status back: `return PPH_FAIL(err, PPH_IO, "...");` The
 * status is seen by the compiler, which so knows that what a success fills in was not. */
#define PPH_FAIL(err, status, ...)                           \
    (__extension__({                                         \
        pph_status pph_fail_status_ = (status);              \
        pph_error_set((err), pph_fail_status_, __VA_ARGS__); \
        pph_fail_status_;                                    \
    }))

#define PPH_FAIL_MEMORY(err, bytes) \
    PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for %zu bytes", (size_t)(bytes))

/* Run `release(&variable)` when the variable's scope ends. */
#define PPH_AUTO(release) __attribute__((cleanup(release)))

/* Move a pointer out of a PPH_AUTO variable: its value, the variable being NULL afterwards. */
#define PPH_TAKE(pointer)                           \
    (__extension__({                                \
        __typeof__(pointer) pph_taken_ = (pointer); \
        (pointer) = NULL;                           \
        pph_taken_;                                 \
    }))

#define PPH_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PPH_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define PPH_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* Always returns `status`. A message too long for the struct is cut. `err` may be NULL. */
pph_status pph_error_set(pph_error *err, pph_status status, const char *format, ...)
    PPH_PRINTF(3, 4);

/* Put "prefix: " before the message that stands in *err; returns err->status (or `status` when err
 * is NULL). For callers that know the name of the file which a deeper room complained of. */
pph_status pph_error_prefix(pph_error *err, pph_status status, const char *prefix);

/* The sentence for an errno value, thread-safe, into `text`; returns `text`. */
const char *pph_error_system(int number, char *text, size_t size);

/* The status that fits an errno value: NOT_FOUND, OUT_OF_MEMORY, else IO. */
pph_status pph_error_from_errno(int number);

#endif
