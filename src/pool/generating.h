/* Generating: the work of a served language model, which writes many answers side by side; its queues, and
 * the way of an answer through them (answer.h).
 *
 * Answers wait until the model is loaded; then a few at a time are prepared: their pictures are downloaded,
 * by the loop, and on the prepare threads turned to pixels, as their text is to tokens; then they are ready. The worker takes them into its steps while there are slots and pages
 * for them (decoding.h), and has them there until they end. */
#ifndef PPH_POOL_GENERATING_H
#define PPH_POOL_GENERATING_H

#include "model/decoder.h"
#include "pool/answer.h"
#include "pool/served.h"
#include "pool/sight.h"
#include <unistd.h>

/* Answers that run at once. */
enum { PPH_GENERATING_SLOTS = 32 };

/* An engine that generates. Its `engine.work` is &pph_generating_work. */
typedef struct pph_language_kind {
    pph_engine_kind engine;

    /* What it is. Constant while it is open; any thread. The tokenizer is NULL where it has none. */
    const pph_decoder_info *(*describe)(const pph_engine *engine);
    const pph_tokenizer *(*tokenizer)(const pph_engine *engine);
    /* How it sees; likewise. NULL for kinds that take no pictures. */
    const pph_sight *(*sight)(const pph_engine *engine);
    /* A picture file's bytes to what it looks at, sight->pixels floats that pph_spare_give takes back. Any thread. */
    pph_status (*prepare_picture)(const pph_engine *engine, pph_str bytes, size_t max_pixels,
                                  float **pixels, pph_error *err);

    /* The rest is the worker's.
     * pixels  as prepared;  rows  f32 [R,D], the caller's */
    pph_status (*look)(pph_engine *engine, const float *pixels, float *rows, pph_error *err);
    /* As pph_decoder_cache, pph_decoder_run. */
    pph_kv_cache *(*cache)(pph_engine *engine);
    pph_status (*step)(pph_engine *engine, const pph_decoder_input *inputs, size_t count,
                       float *logits, pph_error *err);
} pph_language_kind;

extern const pph_work pph_generating_work;

/* Files of decoders. */
extern const pph_language_kind pph_decoder_kind;

/* The record; all but `base` under its lock. Of its units of work, answers, those count as started that
 * have left `waiting`. */
typedef struct pph_generating {
    pph_served base;
    size_t vocabulary, context, rows; /* of the first load; later ones have to agree */
    pph_jobs *waiting, *ready;
    size_t preparing;
    pph_answer *fetching; /* of those that are prepared: whose pictures are downloaded */
    bool dispatching;     /* a thread is starting answers; it looks for more before it leaves */
    bool nudged;          /* something has changed that the worker should look at */
} pph_generating;

static inline const pph_language_kind *pph_language_kind_of(const pph_generating *model)
{
    return (const pph_language_kind *)model->base.kind;
}

/* A handle. Under the model's lock: items that have not ended, and closing. */
struct pph_generation {
    pph_pool *pool;
    pph_generating *model;
    /* With the defaults filled in; chat_template is NULL, the form stands in `form`; projector is NULL. */
    pph_generation_options options;
    bool has_form;
    pph_chat_template form;
    pid_t owner;
    uint64_t caller; /* whom the queue is fair to */
    size_t items;
    bool closing;
};

/* Open a handle on whatever `kind` serves. pph_generation_open does it with decoders. */
PPH_CHECKED pph_status pph_generation_open_kind(pph_generation **out, pph_pool *pool,
                                                const pph_language_kind *kind, const char *model,
                                                const pph_generation_options *options,
                                                pph_error *err);

/* Queue an answer, or end it with the reason why not. */
void pph_generating_submit(pph_answer *answer);

/* Prepare waiting answers while there is room for them. Any thread, no lock held. */
void pph_generating_dispatch(pph_generating *model);

/* Download an answer's pictures; `then` is called when the last of them has ended, on whichever thread.
 * False: there is nothing to download. No lock held. */
bool pph_generating_fetch(pph_answer *answer, void (*then)(pph_answer *answer));
/* Call off the downloads of an answer; of all of a handle. No lock held. */
void pph_generating_end_fetches(pph_answer *answer);
void pph_generating_end_all_fetches(pph_generating *model, const pph_generation *handle);

/* An answer's pictures, which have been downloaded, to pixels; where the model has seen one, to its rows.
 * Errors  those of the first that fails, with its place where there are several */
PPH_CHECKED pph_status pph_generating_prepare_pictures(pph_answer *answer,
                                                       const pph_language_kind *kind,
                                                       const pph_engine *engine, pph_error *err);

/* Turn what an answer asks into its prompt. Any thread.
 * Errors  those of its pictures; the tokenizer's; PPH_TOO_LARGE with the numbers; PPH_UNSUPPORTED (no known form of prompts);
 *         PPH_INVALID_ARGUMENT (an option that does not fit the model, an empty prompt) */
PPH_CHECKED pph_status pph_generating_prepare(pph_answer *answer, const pph_language_kind *kind,
                                              const pph_engine *engine, pph_error *err);

/* Nobody waits for an answer any more: it ends here when it is in a queue, else at its next step. */
void pph_generating_withdraw(pph_answer *answer);

/* The worker is to look again at what it can run. */
void pph_generating_nudge(pph_generating *model);

/* End an answer that is in no queue; answer->error, or what it has written, is in place. */
void pph_generating_end(pph_answer *answer);
void pph_generating_end_unrun(pph_job_list *expired, pph_job_list *dropped);

/* End all that waits with *reason; of one handle alone, when it is given. */
void pph_generating_refuse(pph_generating *model, const pph_generation *handle,
                           const pph_error *reason);

/* The loop of the worker, and what is done when it was given up: see work.h.
 * answers  all that it has, whether they are in the step or not, for as long as it has them */
typedef struct pph_generating_held {
    pph_answer *answers[PPH_GENERATING_SLOTS + 1];
    size_t count;
    pph_breaker_ticket ticket;
} pph_generating_held;
pph_end_reason pph_generating_run(pph_worker *worker);
void pph_generating_lost(pph_served *served, pph_worker *worker, const pph_error *why);

#endif
