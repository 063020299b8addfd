/* The circuit breaker of a model: after several failures in a row the model rests, and its callers
 * are told at once instead of waiting for one more failure.
 *
 *   CLOSED --- 5 failures in a row ---> OPEN --- 60 s ---> HALF_OPEN --- 3 successes ---> CLOSED
 *                                        ^                    |
 *                                        +------ a failure ---+
 *
 * Half open, one request at a time is let through as a trial. What counts is decided here too, in
 * one table (pph_breaker_judge).
 *
 * Every admission gives a ticket, and its outcome comes back with it: an outcome of before the last
 * change of state says nothing of the model as it is now, and is dropped. A ticket needs no return:
 * a trial that never reports stops to be waited for after options.trial, and another is let
 * through.
 *
 * Pure: no lock and no clock. The owner calls under its own lock, and gives `now`, which only goes
 * forward. Sentences do not name the model: see pph_error_prefix. */
#ifndef PPH_POOL_BREAKER_H
#define PPH_POOL_BREAKER_H

#include "base/clock.h"
#include "base/error.h"
#include <stdbool.h>

typedef struct pph_breaker_options {
    unsigned failures;  /* in a row that open it; at least 1; 5 */
    unsigned successes; /* in a row, half open, that close it; at least 1; 3 */
    pph_nanos rest;     /* how long it stays open; above 0; 60 s */
    pph_nanos trial; /* after which a trial without an outcome is given up; above 0, not for ever;
                           60 s. Give more than a load and a step of the model take */
} pph_breaker_options;

pph_breaker_options pph_breaker_defaults(void);

typedef enum pph_breaker_state {
    PPH_BREAKER_CLOSED,
    PPH_BREAKER_OPEN,
    PPH_BREAKER_HALF_OPEN,
} pph_breaker_state;

/* "closed", "open", "half-open"; "unknown" for a number that is no state. */
const char *pph_breaker_name(pph_breaker_state state);

/* Which admission an outcome belongs to. All zero is no admission: its outcome is dropped. */
typedef struct pph_breaker_ticket {
    uint64_t era;   /* changes of state up to the admission, from 1 */
    uint64_t trial; /* 0: not a trial; else its number */
} pph_breaker_ticket;

/* The fields are read, under the owner's lock, for health and metrics; only the functions here
 * write. `failures` counts in a row while closed, `successes` while half open, each 0 otherwise.
 * trial_at is -1 when no trial is under way. `last` is the latest failure, kept after closing. */
typedef struct pph_breaker {
    pph_breaker_options options;
    pph_breaker_state state;
    unsigned failures, successes;
    uint64_t era, trials; /* trials let through, ever */
    uint64_t openings;    /* times it went to OPEN, ever */
    pph_nanos opened_at;  /* of the latest opening */
    pph_nanos trial_at;
    pph_error last;
} pph_breaker;

/* A closed breaker. options: NULL for the defaults.
 * Errors  PPH_INVALID_ARGUMENT: an option out of its range */
PPH_CHECKED pph_status pph_breaker_init(pph_breaker *breaker, const pph_breaker_options *options,
                                        pph_error *err);

/* Ask for leave to run one request.
 * ticket  to report the outcome with; untouched on error
 * Errors  PPH_CIRCUIT_OPEN: since when, when it is tried again, and why */
PPH_CHECKED pph_status pph_breaker_admit(pph_breaker *breaker, pph_nanos now,
                                         pph_breaker_ticket *ticket, pph_error *err);

/* Where in a request's way an outcome was met: the same status means different things. */
typedef enum pph_breaker_stage {
    PPH_BREAKER_REQUEST, /* outside the model: fetching, decoding, tokenising, the queue */
    PPH_BREAKER_LOAD,    /* starting a worker and loading the model */
    PPH_BREAKER_STEP,    /* running the model */
} pph_breaker_stage;

typedef enum pph_breaker_verdict {
    PPH_BREAKER_NEUTRAL, /* says nothing of the model */
    PPH_BREAKER_SUCCESS,
    PPH_BREAKER_FAILURE,
} pph_breaker_verdict;

pph_breaker_verdict pph_breaker_judge(pph_breaker_stage stage, pph_status status);
/* Why pph_breaker_judge says what it says of this status. Static storage. */
const char *pph_breaker_reason(pph_status status);

/* Report the outcome of what `ticket` admitted. Once for a step of the model, not once for each
 * request of its batch (one failing step is one failure), with the pph_breaker_later of their
 * tickets. A neutral outcome frees a trial's place without counting; success before the step (a
 * load that went well) is no outcome yet and changes nothing.
 * result  NULL or its status PPH_OK: success
 * True when the state changed. */
bool pph_breaker_report(pph_breaker *breaker, pph_breaker_ticket ticket, pph_breaker_stage stage,
                        const pph_error *result, pph_nanos now);

/* What `ticket` admitted was cancelled or never ran: a trial's place is free again. */
void pph_breaker_abandon(pph_breaker *breaker, pph_breaker_ticket ticket);

/* The one of two tickets that was given later; of trials that ran in one step, abandon the
 * other. */
pph_breaker_ticket pph_breaker_later(pph_breaker_ticket a, pph_breaker_ticket b);

/* When pph_breaker_admit can next say yes: `now` while it would, else the instant of the next
 * trial. For Retry-After and for health. */
pph_nanos pph_breaker_retry_at(const pph_breaker *breaker, pph_nanos now);

#endif
