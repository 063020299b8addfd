/* A few memories before a committee: its members asked side by side, each for one thing at a time. Knows
 * neither store nor threads: it is stepped, and says when it is to be stepped again. */
#ifndef PPH_MEMORY_COMMITTEE_H
#define PPH_MEMORY_COMMITTEE_H

#include "base/clock.h"
#include "memory/judging.h"
#include <paraphym/cognition.h>

/* One member's way through the memories at hand.
 * alone      it does not answer prompts of several; kept from batch to batch
 * item, criterion, tries  what it is asked for now; of a prompt of several `item` is the count
 * due        not before that
 * future     the call that runs, until `deadline`
 * left       memories that it has given up, or that are scored */
typedef struct pph_committee_seat {
    const pph_judge *judge;
    bool alone, done;
    size_t item, criterion;
    int tries;
    pph_nanos due, deadline;
    pph_future *future;
    pph_judgement judgements[PPH_JUDGING_ITEMS];
} pph_committee_seat;

/* answered  called when a call has ended, once for each that was begun, on the loop's thread as a rule; it is
 *           counted in `callbacks`, which the owner counts down */
typedef struct pph_committee {
    const pph_cognition_options *options;
    pph_committee_seat seats[PPH_COGNITION_JUDGES];
    const char *lines[PPH_JUDGING_ITEMS];
    size_t count;
    pph_future_callback *answered;
    void *context;
    void (*begun)(void *context); /* before each call, and taken back by one of `answered` */
} pph_committee;

/* lines  of pph_judging_line, borrowed until it is over */
void pph_committee_begin(pph_committee *committee, const char *const *lines, size_t count);

/* Look at what was answered, and ask for what comes next. True while something is outstanding; *next is when
 * to step again even if nothing was answered. */
bool pph_committee_step(pph_committee *committee, pph_nanos now, pph_nanos *next);

/* Cancel what runs. */
void pph_committee_stop(pph_committee *committee);

/* What comes of memory `item`, once it is over: status, quality, agreement. `error` is filled in when too
 * few have scored. */
pph_memory_status pph_committee_verdict(pph_committee *committee, size_t item, double *quality,
                                        double *agreement, pph_error *error);

#endif
