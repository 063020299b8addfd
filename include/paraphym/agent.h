/* A conversation with a language model that remembers.
 *
 * A turn looks for memories that fit what the user says, puts them before the user's words, answers, and
 * stores what was said as a memory in its turn. Looking has a time: what is not found by then the turn goes
 * on without, and its result says so. While it looks, what the conversation begins with is run.
 *
 * The last message of the user reads, where memories were found:
 *
 *     # Relevant Context from Memory:
 *     [Relevance: 0.83] Anna has a red ball.
 *     [Relevance: 0.61] User: My dog is called Rex. Assistant: I will remember that.
 *
 *     Who has the ball?
 *
 * In later turns it stands in the conversation without them, as the user said it; so what was run of earlier
 * turns stays good. A memory of a turn is "User: ...\nAssistant: ..."; what was recalled for it is no part
 * of that, and is never stored again.
 *
 * The conversation is kept within the model's context. A prompt that is too long for it, with room for the
 * answer, loses the oldest turns, question and answer together, until it is a quarter shorter; then, when no
 * turn is left, the memories; the system's words and the turn itself always stay. What was lost is lost for
 * later turns as well. */
#ifndef PARAPHYM_AGENT_H
#define PARAPHYM_AGENT_H

#include <paraphym/generation.h>
#include <paraphym/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_agent pph_agent;

/* What is pointed to is copied, but for the memory, which is to outlive the agent.
 * system             what the system says; NULL: nothing
 * memory             NULL: nothing is looked for, or stored
 * user, agent        whose the stored memories are; NULL: nobody's
 * tags               [tag_count], of the stored memories; none: "conversation"
 * filter             which memories may be found; NULL: the user's where one is named, else all
 * memories           found at most, 1 to 100; 0: 10
 * memory_characters  that their lines take at most, with the headline; one memory's text a quarter of it; 0: 2,000
 * memory_read_timeout_ms   for looking; 0: PARAPHYM_MEMORY_TIMEOUT_MS of the environment, else 5,000
 * memory_write_timeout_ms  after which a turn does not wait any longer for its being stored; 0: 5,000
 * history            [history_count], what was said before: the user and the assistant by turns */
typedef struct pph_agent_options {
    const char *system;
    pph_memory *memory;
    const char *user, *agent;
    const char *const *tags;
    size_t tag_count;
    const pph_memory_filter *filter;
    size_t memories, memory_characters;
    int64_t memory_read_timeout_ms, memory_write_timeout_ms;
    const pph_message *history;
    size_t history_count;
} pph_agent_options;

PPH_API pph_agent_options pph_agent_defaults(void);

/* Begin a conversation.
 * generation  outlives the agent
 * options     NULL for the defaults
 * Errors      PPH_INVALID_ARGUMENT (also a PARAPHYM_MEMORY_TIMEOUT_MS that is no number),
 *             PPH_OUT_OF_MEMORY */
PPH_CHECKED PPH_API pph_status pph_agent_open(pph_agent **out, pph_generation *generation,
                                              const pph_agent_options *options, pph_error *err);

/* A turn under way is told PPH_SHUTTING_DOWN. Not on the loop's thread, nor while another operation is
 * being called. NULL is accepted; clears the pointer. */
PPH_API void pph_agent_close(pph_agent **agent);

/* What the user says.
 * text      UTF-8; may be empty where there are pictures
 * pictures  [picture_count], of this turn. They are kept as they are given: a file or an address is read again
 *           by every later turn
 * generate  how it is answered; NULL for the defaults. An answer_room of 0 is max_tokens
 * without_memory, unstored  nothing is looked for; the turn is not stored */
typedef struct pph_agent_turn {
    const char *text;
    const pph_input *pictures;
    size_t picture_count;
    const pph_generate_options *generate;
    bool without_memory, unstored;
} pph_agent_turn;

/* A memory that stood in the prompt. text: as it stood there */
typedef struct pph_agent_recalled {
    pph_memory_id id;
    double relevance;
    const char *text;
} pph_agent_recalled;

/* How a turn went; borrowed from its future.
 * answer          as of pph_generation_chat
 * memories        [memory_count], those of the prompt, in its order
 * memory_error    why there are none where they were looked for: PPH_TIMEOUT, or what failed. PPH_OK: all
 *                 went well, or nothing was to be looked for
 * memory_warning  of the search: what it had to do without
 * memories_left   found, and left out for want of room: in their lines, or in the context
 * turns           earlier ones that the prompt had;  turns_dropped  by this turn
 * stored          the memory that it is now; all zeros: it was not stored
 * merged          it was there already
 * store_error     why it was not stored, or (PPH_TIMEOUT) is not yet: it goes on being
 * store_warning   it is stored, without vectors of an embedder that failed
 * *_seconds       of looking; of answering, from then on; of storing; of all */
typedef struct pph_agent_result {
    pph_generated answer;
    const pph_agent_recalled *memories;
    size_t memory_count, memories_left;
    pph_error memory_error, memory_warning;
    size_t turns, turns_dropped;
    pph_memory_id stored;
    bool merged;
    pph_error store_error, store_warning;
    double recall_seconds, answer_seconds, store_seconds, seconds;
} pph_agent_result;

/* Take a turn. Returns at once, never NULL, from any thread; what it reads is copied. Value:
 * pph_agent_result. One that fails, or is cancelled before its answer is written, leaves the conversation as it
 * was, and stores nothing.
 * stream  NULL: none; else set, to a stream of the answer, which ends when it is written, before it is
 *         stored (freed by the caller). Freeing it before its end cancels the turn
 * Errors  those of pph_generation_chat; PPH_INVALID_ARGUMENT (nothing is said, or a turn is under way: they
 *         come one after the other) */
PPH_API pph_future *pph_agent_say(pph_agent *agent, const pph_agent_turn *turn,
                                  pph_stream **stream);

/* What was said so far. */
typedef struct pph_agent_history {
    size_t count;
    const pph_message *messages;
} pph_agent_history;
PPH_CHECKED PPH_API pph_status pph_agent_history_copy(pph_agent *agent, pph_agent_history **out,
                                                      pph_error *err);
PPH_API void pph_agent_history_free(pph_agent_history **history);

/* Begin anew, with the same system's words. A turn under way is not part of what follows. */
PPH_API void pph_agent_clear(pph_agent *agent);

/* What the system says from the next turn on; NULL: nothing. Errors: PPH_OUT_OF_MEMORY. */
PPH_CHECKED PPH_API pph_status pph_agent_set_system(pph_agent *agent, const char *system,
                                                    pph_error *err);

#ifdef __cplusplus
}
#endif
#endif
