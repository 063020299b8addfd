/* What the steps of a language model are made of, and who gives way when its cache is full.
 *
 * One step runs tokens of many sequences in one pass over the weights:
 *
 *   sequence   written   needed      of the step
 *   A          [#######|#]           1 token, and then the next one is chosen: it is decoding
 *   B          [###|#]               1 token
 *   C          [####|....|......]    a chunk of what is given: it is in its prefill
 *
 * Those that decode have one token in every step, whatever else comes. What a step costs beyond that is
 * bounded: chunks are cut so that nobody waits long for his next token, nor another model for its turn.
 *
 * Pages. A sequence holds pages of the cache for what is written. When there are no more, one is PARKED:
 * first one whose reader has not kept up, else the least urgent one, and of several the youngest. Its pages
 * are given up, and it is computed again, from its own tokens, when there is room. So the most urgent,
 * oldest one always comes to its end, and then the next; only a sequence that has all the pages for itself
 * and needs more fails.
 *
 * Pure: no clock, no lock, no memory; under whatever its owner holds. */
#ifndef PPH_POOL_DECODING_H
#define PPH_POOL_DECODING_H

#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sequence, embedded in what its owner keeps of it.
 * priority, order  whose turn it is: the less urgent a priority the higher its number; order grows with
 *                  every admission and is never the same twice
 * needed   tokens that stand before the next one: given and chosen ones
 * written  of them, those in the cache: always fewer than needed when a step is planned
 * paused   not to be run: its reader has not kept up
 * parked   without pages; written is 0
 * blind    not to be run: what comes next is a picture that is still to be looked at
 * share    of the next step, in tokens: what the plan says */
typedef struct pph_decoding {
    uint8_t priority;
    uint64_t order;
    size_t needed, written;
    bool paused, parked, blind;
    size_t share;
} pph_decoding;

/* What steps take on this machine, learned. Starts as {0}.
 * step  nanoseconds of one in which everybody decodes;  each  what a token of a prefill adds; averages,
 *       0 before the first */
typedef struct pph_decoding_pace {
    double step, each;
} pph_decoding_pace;

enum {
    PPH_DECODING_CHUNK_LEAST = 16,
    PPH_DECODING_CHUNK_FIRST = 64,
    PPH_DECODING_CHUNK_MOST = 512
};

/* A step of prefills alone is kept about as short, and those that decode wait no longer than this for
 * a prefill besides. */
#define PPH_DECODING_ALONE  PPH_MILLIS(400)
#define PPH_DECODING_BESIDE PPH_MILLIS(120)

/* How many tokens of prefills the next step may have. */
size_t pph_decoding_budget(const pph_decoding_pace *pace, bool somebody_decodes);

/* A step has run. prefill, decoded  tokens of either kind */
void pph_decoding_ran(pph_decoding_pace *pace, size_t prefill, size_t decoded, pph_nanos took);

/* It needs one token: the next step ends in a choice. */
bool pph_decoding_decodes(const pph_decoding *one);

/* Say what each has of the next step. Prefills have the budget in the order of urgency and age, but a
 * quarter of it is the oldest one's, so that none waits for ever. Returns the tokens in all; 0: nobody
 * can be run. */
size_t pph_decoding_plan(pph_decoding *const *all, size_t count, size_t budget);

/* Who gives his pages up, for one that needs more: maybe that one itself. NULL: nobody else has pages,
 * and it can never have what it needs. */
pph_decoding *pph_decoding_victim(pph_decoding *const *all, size_t count,
                                  const pph_decoding *needy);

/* May one more come in, of `needed` tokens, `free` tokens having room? It has to leave the others room
 * to grow by a page each, unless there are none. */
bool pph_decoding_fits(pph_decoding *const *all, size_t count, size_t needed, size_t free,
                       size_t page);

/* The one whose picture is to be looked at next: of those without it the most urgent, oldest one. NULL: all
 * can go on. */
pph_decoding *pph_decoding_blind(pph_decoding *const *all, size_t count);
/* Somebody can be run without more being looked at. */
bool pph_decoding_runs(pph_decoding *const *all, size_t count);

/* The parked one to be run again, if its time has come. */
pph_decoding *pph_decoding_unpark(pph_decoding *const *all, size_t count, size_t free, size_t page);

#endif
