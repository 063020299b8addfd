/* A language model that is none: it writes what follows from all that stands before, and keeps it in a real
 * cache, so that an answer tells whether every token was written, shared, given up and computed again as it
 * should be. Bytes are its tokens. What it does about them a test tells it.
 *
 * Settings and counters are read and written under lang_lock; whatever changes wakes lang_await. */
#ifndef TESTS_POOL_FAKE_LANGUAGE_H
#define TESTS_POOL_FAKE_LANGUAGE_H

#include "pool/generating.h"

/* Tokens are bytes, and then: */
enum { LANG_START = 256, LANG_END = 257, LANG_VOCABULARY = 258, LANG_STEPS = 4096 };

/* A picture is a file of two letters, "!x" one that cannot be read. It becomes so many rows: its second letter
 * and those that follow it in the alphabet. */
enum { LANG_ROWS = 3 };

/* A context with one of these bytes: the step fails for its sequence; logits that are none; an answer of
 * arrows, three bytes each; one that ends at once. */
enum { LANG_REFUSED = '$', LANG_NAN = '%', LANG_ARROWS = '^', LANG_MUTE = '@' };

typedef struct fake_language {
    bool hold_loads, hold_steps, hold_looks; /* they block until this is false again */
    bool hold_first;                         /* the steps of the first engine, likewise */
    int load_failures, step_failures, look_failures;
    pph_status load_status, step_status, look_status;
    bool blind;          /* it takes no pictures */
    size_t picture_room; /* bytes of the cache of what pictures became */
    size_t fail_step_every, fail_load_every;
    size_t context, pages;
    const char *chat_template;

    size_t loads_begun, opens, closes, steps_begun, steps;
    size_t inside, most_inside;
    size_t pictures_read, looks_begun, looks;
    size_t tokens, most_sequences, most_tokens; /* run; most of a step */
    struct {
        size_t sequences, tokens; /* a look has no tokens */
    } log[LANG_STEPS];
} fake_language;

extern const pph_language_kind lang_kind;
extern fake_language lang;

/* Everything as at first; no engine may be open. */
void lang_reset(void);
void lang_lock(void);
void lang_unlock(void);
/* Wait until *counter is `least`; false after a minute. */
bool lang_await(const size_t *counter, size_t least);
size_t lang_read(const size_t *counter);
void lang_set(bool *what, bool value);

/* What it answers to a text, greedily, in `count` tokens at most; returns how many bytes of it there are,
 * the end not counted. out  [count + 1] */
size_t lang_answer(const char *text, size_t count, char *out);
/* The same behind tokens. */
size_t lang_answer_ids(const int32_t *ids, size_t id_count, size_t count, char *out);

#endif
