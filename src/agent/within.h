/* Waiting for a future, but no longer than a time. */
#ifndef PPH_AGENT_WITHIN_H
#define PPH_AGENT_WITHIN_H

#include "base/error.h"
#include <paraphym/runtime.h>
#include <stdbool.h>

typedef struct pph_within pph_within;

/* in_time  the future is done; else the time is over, or the waiting was stopped */
typedef void pph_within_told(void *context, bool in_time);

/* Call `told` once: when the future is done, or when timeout_ms have passed. The future is borrowed for the
 * call. On the loop's thread; where there is no loop any more, on any.
 * Errors  PPH_RUNTIME_UNAVAILABLE, PPH_OUT_OF_MEMORY: it is not called */
PPH_CHECKED pph_status pph_within_start(pph_within **out, pph_future *future, int64_t timeout_ms,
                                        pph_within_told *told, void *context, pph_error *err);

/* Do not wait any longer: it is told so soon, unless it was told before. Any thread; NULL is accepted. */
void pph_within_stop(pph_within *within);
/* Give the handle back, in any state. NULL is accepted; clears the pointer. */
void pph_within_free(pph_within **within);

#endif
