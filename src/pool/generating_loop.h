/* The loop of a language model's worker, shared by the files that are its parts: who comes in, what a step
 * runs, what is made of its results. All of it is the worker's thread's. */
#ifndef PPH_POOL_GENERATING_LOOP_H
#define PPH_POOL_GENERATING_LOOP_H

#include "model/sampler.h"
#include "pool/generating.h"

/* answers   those with a slot; turns[i] is &answers[i]->turn. `next` was taken and has none yet
 * stepped   of the step: who has inputs[i]; rows[i] is the row of logits where its result begins
 * failures  how the input of each went */
typedef struct pph_generating_loop {
    pph_worker *worker;
    pph_generating *model;
    const pph_language_kind *kind;
    const pph_decoder_info *info;
    const pph_sight *sight; /* NULL: the kind takes no pictures */
    bool looked;            /* its last step was a look */
    pph_kv_cache *cache;
    pph_sampler *sampler;
    pph_answer *answers[PPH_GENERATING_SLOTS];
    pph_decoding *turns[PPH_GENERATING_SLOTS];
    size_t count;
    pph_answer *next;
    uint64_t orders;
    pph_decoding_pace pace;

    pph_decoder_input inputs[PPH_GENERATING_SLOTS];
    pph_answer *stepped[PPH_GENERATING_SLOTS];
    pph_error failures[PPH_GENERATING_SLOTS];
    size_t step_count, prefill, decoded;
    float *logits;  /* f32 [PPH_GENERATING_SLOTS, V] */
    size_t settled; /* bytes of the caches when they were last counted */
} pph_generating_loop;

/* generating_admit.c: those whom nobody waits for any more leave; others come in while there is room. */
void pph_generating_sweep(pph_generating_loop *loop);
void pph_generating_admit(pph_generating_loop *loop);
/* Whose turn it is. */
pph_answer *pph_generating_whose(const pph_generating_loop *loop, const pph_decoding *turn);
/* Let go of the answer in a slot; it has ended, or is ended by the caller. */
void pph_generating_leave(pph_generating_loop *loop, pph_answer *answer);
/* End an answer of the loop with *why. */
void pph_generating_fail(pph_generating_loop *loop, pph_answer *answer, const pph_error *why);

/* generating_admit.c: what the next step runs, with room in the cache for all of it. False: nobody can be
 * run now. True with no inputs: those who could have failed for want of room, and others may now. */
bool pph_generating_plan(pph_generating_loop *loop);

/* generating_look.c: mark those who cannot be run before a picture was looked at; and look at the one that an
 * answer waits for. Errors: the kind's; PPH_OUT_OF_MEMORY. */
void pph_generating_find_blind(pph_generating_loop *loop);
PPH_CHECKED pph_status pph_generating_look(pph_generating_loop *loop, pph_answer *answer,
                                           pph_error *err);

/* generating_choose.c: the step has run: count what was written, choose tokens, tell them, end answers. */
void pph_generating_results(pph_generating_loop *loop);
/* What the stream had no room for before is offered again; the answer runs on when it has taken it. */
void pph_generating_resume(pph_answer *answer);

#endif
