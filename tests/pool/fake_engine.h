/* Models that do what a test tells them: load late or never, fail, stall, hold memory they do not
 * have. Each is known by its name; its vectors are derived from the text, so that every answer can be
 * checked. Texts alone; a text that begins with "bad" cannot be prepared.
 *
 * Settings and counters are read and written under fake_lock; whatever changes wakes fake_await. */
#ifndef TESTS_POOL_FAKE_ENGINE_H
#define TESTS_POOL_FAKE_ENGINE_H

#include "pool/embedding.h"

enum { FAKE_MODELS = 4, FAKE_DIMENSIONS = 4, FAKE_ORDER = 2048 };

typedef struct fake_model {
    char name[16]; /* "fake-0" and so on */

    bool hold_loads, hold_steps; /* they block until this is false again */
    size_t held_step;            /* the step of this number, from 1, blocks until this is another */
    bool in_team;                /* steps are made by a member of the compute team, and block it */
    int load_failures;           /* the next so many loads fail, with load_status */
    pph_status load_status;
    int share_failures; /* likewise, for want of memory */
    int step_failures;  /* likewise */
    pph_status step_status;
    uint64_t weights, activations, expected; /* bytes held, those of each worker, and estimated */
    size_t picture;                          /* floats of a prepared picture */
    size_t early; /* so many vectors of a step are told of at its beginning */
    /* One load or step in so many; 0: none. A step stalls for stall_ms. */
    size_t fail_load_every, fail_step_every, stall_every;
    int64_t stall_ms;

    size_t loads_begun, opens, closes,
        shares; /* what was shared is not counted as opened or closed */
    size_t shares_refused;
    size_t steps_begun, steps, inputs;
    size_t inside, most_inside; /* calls of steps and closes on one engine at once */
    char order[FAKE_ORDER];     /* the first letter of each text, as they were run */
} fake_model;

/* The second cannot share its weights: its models have one worker each. */
extern const pph_embedding_kind fake_kind, fake_single_kind;

/* Everything as at first; no engine may be open. */
void fake_reset(void);
fake_model *fake(size_t which);

void fake_lock(void);
/* Wakes whoever a change may matter to. */
void fake_unlock(void);

/* Wait until *counter is `least`; false after a minute. No lock held. */
bool fake_await(const size_t *counter, size_t least);
/* The value of a counter, read under the lock. */
size_t fake_read(const size_t *counter);
/* Set a switch under the lock. */
void fake_set(bool *what, bool value);

/* What the models answer. out  f32 [FAKE_DIMENSIONS], not of unit length */
void fake_vector(const char *text, float *out);

#endif
