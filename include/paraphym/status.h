/* What every operation of Paraphym returns.
 *
 * A function that can fail returns a pph_status and takes, last, a pph_error that it fills in when
 * it does; NULL is accepted where the sentence is not wanted. Both are plain values: they may be
 * copied, and cross threads. */
#ifndef PARAPHYM_STATUS_H
#define PARAPHYM_STATUS_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PPH_API                 __attribute__((visibility("default")))
#define PPH_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#define PPH_CHECKED             __attribute__((warn_unused_result))
#else
#define PPH_API
#define PPH_PRINTF(text, first)
#define PPH_CHECKED
#endif

/* One row a status: name, and what it means in a few words. */
#define PPH_STATUS_MAP(ROW)                                             \
    ROW(OK, "success")                                                  \
    ROW(INVALID_ARGUMENT, "invalid argument")                           \
    ROW(NOT_FOUND, "not found")                                         \
    ROW(IO, "input or output failed")                                   \
    ROW(NETWORK, "the network failed")                                  \
    ROW(FORBIDDEN_ADDRESS, "the address is not a public one")           \
    ROW(TOO_LARGE, "too large")                                         \
    ROW(UNSUPPORTED, "not supported")                                   \
    ROW(CORRUPT, "the data are damaged")                                \
    ROW(OUT_OF_MEMORY, "out of memory")                                 \
    ROW(RUNTIME_UNAVAILABLE, "the shared runtime is not available")     \
    ROW(WOULD_DEADLOCK, "waiting here would never end")                 \
    ROW(TIMEOUT, "the time allowed is over")                            \
    ROW(CANCELLED, "cancelled")                                         \
    ROW(SHUTTING_DOWN, "shutting down")                                 \
    ROW(NO_WORKERS, "no worker can take this")                          \
    ROW(SPAWN_FAILED, "a worker could not be started")                  \
    ROW(SPAWN_TIMEOUT, "a worker did not start in time")                \
    ROW(MEMORY_EXHAUSTED, "the memory set aside for models is used up") \
    ROW(CIRCUIT_OPEN, "the model failed repeatedly and rests")          \
    ROW(QUEUE_FULL, "the queue is full")                                \
    ROW(MODEL_ERROR, "the model failed")                                \
    ROW(INTERNAL, "an error inside Paraphym")

typedef enum pph_status {
#define PPH_STATUS_ROW(name, text) PPH_##name,
    PPH_STATUS_MAP(PPH_STATUS_ROW)
#undef PPH_STATUS_ROW
        PPH_STATUS_COUNT
} pph_status;

/* message  a whole sentence: the thing, the reason, the way out; empty when status is PPH_OK */
typedef struct pph_error {
    pph_status status;
    char message[512];
} pph_error;

/* "PPH_NOT_FOUND" without its prefix: "NOT_FOUND"; "UNKNOWN" for a number that is no status. */
PPH_API const char *pph_status_name(pph_status status);

/* The few words of the table above. Never NULL; static storage. */
PPH_API const char *pph_status_text(pph_status status);

#ifdef __cplusplus
}
#endif
#endif
