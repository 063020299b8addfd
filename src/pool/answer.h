/* An answer under way: what one operation of a language model asks, what is written of it, and those who
 * wait for it, by its future and, where there is one, its stream.
 *
 *   submit -> waiting -> preparing -> ready -> running -> ended
 *
 * It ends once, with a result or an error, from whichever state; then its future is done, its stream has
 * ended with the same, and the model's record is not touched by it any more. A future that is cancelled,
 * a stream that nobody reads, a deadline that has passed all take it out of its queue at once, or out of
 * the next step where it runs.
 *
 * References hold it: its work's, given back when it has ended; the cancellation hook's of its future,
 * given back by whoever ends the future, which is the hook, the work or the timer; the timer's, given
 * back when it has called; and that of a worker that runs it, who may be given up in a step. */
#ifndef PPH_POOL_ANSWER_H
#define PPH_POOL_ANSWER_H

#include "model/kv_cache.h"
#include "pool/breaker.h"
#include "pool/decoding.h"
#include "pool/jobs.h"
#include "pool/picture.h"
#include "pool/prepare.h"
#include "pool/prompt.h"
#include "runtime/loop.h"
#include "runtime/promise.h"
#include "runtime/writer.h"
#include "text/chat.h"
#include "text/detokenizer.h"
#include "text/stops.h"
#include "text/tokens.h"
#include <paraphym/generation.h>
#include <stdatomic.h>

/* text, or else messages: copies, in one piece of heap that begins at `asked`
 * pictures  [picture_count], of all messages, in their order; prompt.rows[i] is of pictures[i]
 * fetches   of them, those whose download has not ended; under the model's lock, as is next_fetching
 * turn, sequence, pieces  the worker's that runs it, and gone with its engine, as all that is written is
 *         the worker's
 * sent    of `text`, the bytes that the stream has taken */
typedef struct pph_answer {
    pph_prepare_job job; /* first: what the prepare threads run is its answer */
    pph_job place;       /* in the model's queues */
    pph_jobs *queue;     /* the one that it was put into last; under the model's lock */
    pph_generation *handle;
    struct pph_generating *model;
    pph_future *future; /* the producer's reference */
    pph_writer *writer; /* NULL: no stream */
    atomic_int references;
    atomic_bool cancelled;
    bool started; /* it counts on the engine; under the model's lock */
    pph_nanos created, deadline;
    pph_timer *timer; /* ends the future at the deadline; NULL without one */
    pph_breaker_ticket ticket;

    void *asked;
    pph_str prompt_text;
    pph_chat_message *messages;
    size_t message_count;
    bool worded; /* its text has begun */
    bool warms;  /* nothing is to be written: it ends when the prompt was run */
    pph_picture *pictures;
    size_t picture_count, fetches;
    struct pph_answer *next_fetching;
    void (*fetched)(struct pph_answer *answer);
    pph_generate_options options;
    uint64_t seed;

    pph_prompt prompt; /* and what was chosen behind it */
    size_t prompt_tokens, reused_tokens;
    size_t limit; /* tokens that may be chosen */

    pph_decoding turn;
    pph_kv_sequence *sequence;
    pph_detokenizer *pieces;
    pph_stops *stops;
    pph_buffer text;
    size_t sent;
    pph_buffer log_probabilities, alternatives, top_logits; /* floats, candidates */
    pph_finish_reason finish_reason;
    pph_nanos begun, first, last, looking;

    pph_error error;
} pph_answer;

/* What is checked of an operation before anything is made for it. */
PPH_CHECKED pph_status pph_answer_check(const pph_generate_options *options, pph_error *err);

/* What an operation asks; borrowed. Messages where there is no text. */
typedef struct pph_asked {
    const char *text;
    const pph_message *messages;
    size_t count;
    bool warms;
    const pph_generate_options *options;
} pph_asked;

/* Copy what is asked. The future's two references are the caller's and the answer's.
 * stream  NULL: none is wanted
 * Errors  PPH_OUT_OF_MEMORY, PPH_RUNTIME_UNAVAILABLE */
PPH_CHECKED pph_status pph_answer_new(pph_answer **out, pph_generation *handle,
                                      const pph_asked *asked, pph_runtime *runtime,
                                      pph_future **future, pph_stream **stream, pph_error *err);

pph_answer *pph_answer_ref(pph_answer *answer);
void pph_answer_unref(pph_answer **answer);

/* The answer that a place in a queue belongs to. */
pph_answer *pph_answer_of(pph_job *place);

/* Nobody waits for it any more. */
bool pph_answer_abandoned(const pph_answer *answer);
/* Why nobody does: what its future ended with, else PPH_CANCELLED. */
void pph_answer_say_over(const pph_answer *answer, pph_error *out);

/* What was chosen, [count]. */
const int32_t *pph_answer_ids(const pph_answer *answer, size_t *count);

/* Tell everybody how it ended: answer->error, or else what is written of it. The work's reference stays.
 * No lock held; once. */
void pph_answer_tell(pph_answer *answer);

#endif
