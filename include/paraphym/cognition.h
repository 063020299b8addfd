/* A memory judged in the background: by a committee, whose members are language models, or one model that
 * answers as several persons; and tended: like memories related, what is missing made up for.
 *
 * Every memory that is stored as pending stands in a queue in the store's file. Workers of any number of
 * processes take from it; what one has claimed is another's once its claim has lapsed, so that nothing is
 * lost with a process. Each member scores clarity, relevance and completeness from 0.0 to 1.0. A member's
 * score is their mean, the memory's quality the mean of the members', the agreement 1 less the distance of
 * the highest from the lowest. A memory that too few members score has failed, with the reason.
 *
 * Related are, of the nearest memories, those that are near enough: from the later to the earlier, with the
 * cosine as strength, as
 *   "restates"  at a cosine of 0.95 or more: it says the same, or a later version of it
 *   "follows"   when they were made within an hour: of one occasion
 *   "similar"   otherwise
 *
 * Open its models with PPH_PRIORITY_BATCH: then it never delays a person. */
#ifndef PARAPHYM_COGNITION_H
#define PARAPHYM_COGNITION_H

#include <paraphym/generation.h>
#include <paraphym/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_cognition pph_cognition;

/* A member of a committee.
 * name     1 to 64 bytes, of no other member
 * persona  what it is told to be, as the system's message; NULL: nothing
 * ask      value pph_generated, which has ended by itself; never NULL; cancelled when it takes too long.
 *          Any thread but the loop's; `system` may be NULL */
typedef struct pph_judge {
    const char *name, *persona;
    pph_future *(*ask)(void *context, const char *system, const char *prompt, size_t max_tokens);
    void *context;
} pph_judge;

/* One that asks a served model, which must outlive the worker. */
PPH_API pph_judge pph_judge_of(pph_generation *generation, const char *name, const char *persona);

enum { PPH_COGNITION_JUDGES = 16, PPH_COGNITION_CRITERIA = 3 };

/* How one member scored.
 * scores  of clarity, relevance, completeness;  score  their mean; NaN when it has not scored
 * calls   asked for it, those of a batch counted once for each of its memories
 * error   why it has not scored */
typedef struct pph_judgement {
    const char *name;
    double scores[PPH_COGNITION_CRITERIA], score;
    unsigned calls;
    pph_error error;
} pph_judgement;

/* What became of a memory. Borrowed for the call of `told`, or from a future.
 * status     PPH_MEMORY_SUCCESS or PPH_MEMORY_FAILED
 * quality, agreement  0 to 1; NaN when it failed
 * method     the members' names, with '+' between them
 * time       milliseconds since 1970;  took_ms  from its claim on
 * error      a sentence; "" when it succeeded
 * scores     JSON: [{"name":…,"clarity":…,"relevance":…,"completeness":…} or {"name":…,"error":…}, …]
 * relations  found by this; 0 where the evaluation was read from the store
 * judgements [judge_count]; NULL where it was read from the store */
typedef struct pph_evaluation {
    pph_memory_id id;
    pph_memory_status status;
    double quality, agreement;
    const char *method;
    int64_t time, took_ms;
    const char *error, *scores;
    size_t relations;
    const pph_judgement *judgements;
    size_t judge_count;
} pph_evaluation;

/* judges     1 to 16, copied with their texts
 * quorum     members that must have scored; 0: more than half of them
 * call_ms    a call may take; 0: 10 s
 * retries    of a call that failed or was answered with anything but a decimal; 2; negative: none
 * backoff_ms before the first of them, doubled before each further one; 0: 100
 * batch      memories judged with one prompt, 1 to 5; 0: 5. An item that such an answer leaves out is asked
 *            for alone; a member that never answers such prompts as asked is not asked that way again
 * linger_ms  how long a memory waits for others to be judged with; 0: 2 s
 * lease_ms   after which the claim of a worker that has gone lapses; 0: 1 minute
 * nearest    memories looked at for relations, 1 to 100; 0: 10; negative: none are
 * least      cosine that relates; 0: 0.7
 * upkeep_ms  between two tendings of the whole store; 0: 10 minutes; negative: none. Then vectors that are
 *            missing are made, a failed memory is queued again once a day (at most twice), and what indexes
 *            no longer need to know of deleted vectors is dropped
 * told       NULL, or called for each memory that was judged, on a thread of the worker's; must not close it
 */
typedef struct pph_cognition_options {
    const pph_judge *judges;
    size_t judge_count, quorum;
    int64_t call_ms;
    int retries;
    int64_t backoff_ms;
    size_t batch;
    int64_t linger_ms, lease_ms;
    int nearest;
    double least;
    int64_t upkeep_ms;
    void (*told)(void *context, const pph_evaluation *evaluation);
    void *context;
} pph_cognition_options;

PPH_API pph_cognition_options pph_cognition_defaults(void);

/* Begin to judge what is pending in a memory, which must outlive the worker.
 * Errors  PPH_INVALID_ARGUMENT, PPH_OUT_OF_MEMORY, PPH_SPAWN_FAILED, PPH_RUNTIME_UNAVAILABLE */
PPH_CHECKED PPH_API pph_status pph_cognition_open(pph_cognition **out, pph_memory *memory,
                                                  const pph_cognition_options *options,
                                                  pph_error *err);
/* Calls that run are cancelled; what was claimed is pending again. Not on the loop's thread. NULL is
 * accepted; clears the pointer. */
PPH_API void pph_cognition_close(pph_cognition **cognition);

typedef struct pph_cognition_tally {
    uint64_t succeeded, failed, relations;
} pph_cognition_tally;

/* Judge all that is pending and that nobody else has claimed, without waiting for more to come. Value:
 * pph_cognition_tally, of what this worker has judged meanwhile. Errors: the store's. */
PPH_API pph_future *pph_cognition_run(pph_cognition *cognition);

/* The last evaluation of a memory. Value: pph_evaluation. Errors: PPH_NOT_FOUND (no such memory, or it was
 * not judged). */
PPH_API pph_future *pph_memory_evaluation(pph_memory *memory, pph_memory_id id);

#ifdef __cplusplus
}
#endif
#endif
