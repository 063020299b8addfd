/* What was said in a conversation: exchanges, each of what the user said and what was answered, the oldest
 * first; and how many of them have to go for a prompt to become shorter.
 *
 * An exchange is shared: the conversation holds it, and turns under way hold those that their prompts are
 * made of. Its references may be given back by any thread; the list is its owner's, under his lock. */
#ifndef PPH_AGENT_HISTORY_H
#define PPH_AGENT_HISTORY_H

#include "base/error.h"
#include <paraphym/generation.h>
#include <paraphym/memory.h>
#include <stdatomic.h>

/* Exchanges at most: the oldest go first. */
enum { PPH_HISTORY_MOST = 1000 };

/* stored  the memory that it is; all zeros: none. Under the lock of the history's owner
 * answer  a copy; NULL before there is one */
typedef struct pph_exchange {
    atomic_int references;
    struct pph_exchange *next;
    const char *text;
    const pph_input *pictures;
    size_t picture_count;
    char *answer;
    pph_memory_id stored;
} pph_exchange;

/* A copy of what the user says, with one reference.
 * Errors  PPH_INVALID_ARGUMENT (a picture that is none), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_exchange_new(pph_exchange **out, const char *text,
                                        const pph_input *pictures, size_t count, pph_error *err);
void pph_exchange_unref(pph_exchange **exchange);

typedef struct pph_history {
    pph_exchange *first, **last;
    size_t count;
} pph_history;

void pph_history_init(pph_history *history);
/* Takes the reference; what is more than PPH_HISTORY_MOST goes. */
void pph_history_add(pph_history *history, pph_exchange *exchange);
/* Those that are older than `oldest`; NULL: all. */
void pph_history_drop_before(pph_history *history, const pph_exchange *oldest);

/* Messages that stand for a history; those of the user's and the assistant's by turns.
 * Errors  PPH_INVALID_ARGUMENT (another order), PPH_OUT_OF_MEMORY; the history holds a part then */
PPH_CHECKED pph_status pph_history_load(pph_history *history, const pph_message *messages,
                                        size_t count, pph_error *err);

/* The exchanges as they are now, each with a reference, on the heap. */
typedef struct pph_history_view {
    pph_exchange **items;
    size_t count;
} pph_history_view;
PPH_CHECKED pph_status pph_history_look(const pph_history *history, pph_history_view *out,
                                        pph_error *err);
void pph_history_view_deinit(pph_history_view *view);

/* How many of items[0 .. count) have to go for a prompt of them and of `rest` bytes beside them that was too
 * long: at least one, and so many that it is a quarter shorter, where there are. */
size_t pph_history_surplus(pph_exchange *const *items, size_t count, size_t rest);

/* What an exchange, or a message, counts for in that: its bytes, and some for each picture. */
size_t pph_history_weight(const char *text, size_t pictures);

/* The messages of a prompt, on the heap: the system's (NULL: none), those of items[0 .. count), and behind them
 * the user's, where `text` is not NULL. They borrow from all of these. */
PPH_CHECKED pph_status pph_history_messages(const char *system, pph_exchange *const *items,
                                            size_t count, const char *text,
                                            const pph_input *pictures, size_t picture_count,
                                            pph_message **out, size_t *out_count, pph_error *err);

#endif
