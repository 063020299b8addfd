/* The memory that models may take: counts bytes against a limit, and says which models go when
 * another needs theirs.
 *
 * A model is entered before it is loaded, with what it is estimated to need (pph_governor_reserve);
 * that is counted from this moment on, so that two loads at once cannot both have the same bytes.
 * Once loaded it is entered with what it really takes (pph_governor_settle). When there is not
 * enough, idle models are CLAIMED: the least recently used first, just enough of them, never one
 * that is busy, loading or pinned. From then on their bytes are promised to the one who asked:
 *
 *     reserve, start --> [loading] -- settle --> [idle] <-- begin, end --> [busy]
 *                            |                     |
 *                            +------ release ------+--- claim --> [claimed] -- release -->
 *
 * The one who asked has those in its plan evicted (their owners release them), and takes memory
 * once pph_governor_start says so, which it does when enough is out of memory in truth: so the
 * bytes in memory never pass the limit, whatever is asked for and evicted at the same time. A claim
 * is not undone: pph_governor_begin on a claimed model says no, and it has to be loaded anew.
 *
 * Models may have PARTS in common (pph_governor_hold): such bytes are counted once, whoever holds them, and
 * come free with the last of those models. What a model that is not settled yet holds is what was estimated
 * of it.
 *
 * Every function may be called from any thread, under any lock of the caller's: the governor has
 * one of its own, never waits under it and never calls out. It allocates a few bytes a model and part. */
#ifndef PPH_POOL_GOVERNOR_H
#define PPH_POOL_GOVERNOR_H

#include "base/clock.h"
#include "base/error.h"
#include <stdbool.h>

/* The least limit that is derived from the memory there is. */
#define PPH_GOVERNOR_LEAST ((uint64_t)512 << 20)

/* The limit for a process that may use `total` bytes: 80 % of them less 2 GiB, and at least
 * PPH_GOVERNOR_LEAST. */
uint64_t pph_governor_limit(uint64_t total);

typedef struct pph_governor pph_governor;
typedef struct pph_governor_model pph_governor_model;

/* limit   bytes that all models together may take, at most 2^50; 0: what
 *         pph_governor_limit(pph_available_total(NULL)) gives
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_governor_new(pph_governor **out, uint64_t limit, pph_error *err);
/* Models still entered are forgotten; their handles must not be used any more. NULL is accepted;
 * clears the pointer. */
void pph_governor_free(pph_governor **governor);

/* What a loaded model takes, in bytes. */
typedef struct pph_governor_bytes {
    uint64_t weights, activations, caches;
} pph_governor_bytes;

/* Models to evict, the least recently used first. */
typedef struct pph_governor_victim {
    void *owner;    /* as given to pph_governor_reserve */
    uint64_t bytes; /* that come free, when those before it in the plan have gone */
} pph_governor_victim;

typedef struct pph_governor_victims {
    pph_governor_victim *victims;
    size_t count;
    uint64_t bytes; /* of all of them */
} pph_governor_victims;

/* Frees the list and leaves an empty plan; the victims themselves are not touched. */
void pph_governor_victims_deinit(pph_governor_victims *plan);

/* Which models would have to go for `need` bytes more; changes nothing. With need 0: which, for
 * what is counted to be within the limit.
 * plan    overwritten, not freed first; empty on error, and when nothing has to go
 * Errors  PPH_MEMORY_EXHAUSTED with the numbers, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_governor_plan(pph_governor *governor, uint64_t need,
                                         pph_governor_victims *plan, pph_error *err);

/* Enter a model that is going to be loaded, and claim what has to go for it, in one step.
 * owner   handed back in plans; never read here
 * bytes   estimated
 * plan    as above: evict these, then load when pph_governor_start says so
 * out     release it with pph_governor_release, also when the load fails
 * Errors  as above; nothing is claimed or entered then */
PPH_CHECKED pph_status pph_governor_reserve(pph_governor *governor, void *owner, uint64_t bytes,
                                            pph_governor_model **out, pph_governor_victims *plan,
                                            pph_error *err);

/* The same for a model that is entered and takes more: another worker's activations, a cache. It
 * counts as loading until it is settled again; one growth of a model at a time.
 * Errors  also PPH_CANCELLED: the model is claimed; PPH_INTERNAL: it loads or grows already */
PPH_CHECKED pph_status pph_governor_grow(pph_governor *governor, pph_governor_model *model,
                                         uint64_t bytes, pph_governor_victims *plan,
                                         pph_error *err);

/* May the model take now what was reserved for it? True is said once and for all. False while
 * models are being evicted and their bytes are still needed: ask again after the next
 * pph_governor_release (by whomever; it always comes to true once all that is claimed is
 * released). */
PPH_CHECKED bool pph_governor_start(pph_governor *governor, pph_governor_model *model);

/* The model is loaded and takes these bytes: they replace all that was estimated of it. It may be
 * claimed from now on while it is not busy; `now` counts as its last use.
 * False when more is counted than the limit allows: pph_governor_trim is due. */
bool pph_governor_settle(pph_governor *governor, pph_governor_model *model,
                         const pph_governor_bytes *real, pph_nanos now);

/* A request is on its way to the model: not claimed until as many pph_governor_end as begins.
 * False when it is claimed, and nothing is counted: treat it as not loaded. */
PPH_CHECKED bool pph_governor_begin(pph_governor *governor, pph_governor_model *model);
void pph_governor_end(pph_governor *governor, pph_governor_model *model, pph_nanos now);

/* A pinned model is never claimed. False, and nothing is changed, when it is claimed already. */
bool pph_governor_pin(pph_governor *governor, pph_governor_model *model, bool pinned);

/* The owner itself wants to evict the model: claim it. False when it is busy, loading, pinned or
 * claimed by another. */
PPH_CHECKED bool pph_governor_claim(pph_governor *governor, pph_governor_model *model);

/* Its memory is promised, to whomever. False for NULL. */
bool pph_governor_is_claimed(pph_governor *governor, const pph_governor_model *model);

/* Claim what is needed to be within the limit again; all that can go where that is not enough.
 * Errors  PPH_OUT_OF_MEMORY; nothing is claimed then */
PPH_CHECKED pph_status pph_governor_trim(pph_governor *governor, pph_governor_victims *plan,
                                         pph_error *err);

/* Claim the models that were last used `idle` or longer before `now`.
 * next    when there will be one more, if nothing changes; PPH_FOREVER: never
 * Errors  PPH_OUT_OF_MEMORY; nothing is claimed then */
PPH_CHECKED pph_status pph_governor_expire(pph_governor *governor, pph_nanos now, pph_nanos idle,
                                           pph_governor_victims *plan, pph_nanos *next,
                                           pph_error *err);

/* A part of what models take that several may have in common. */
typedef struct pph_governor_part pph_governor_part;

/* The model holds a part, once more.
 * part    *part NULL: nobody held it so far, and it is made, of so many bytes
 * Errors  PPH_OUT_OF_MEMORY; nothing is changed then */
PPH_CHECKED pph_status pph_governor_hold(pph_governor *governor, pph_governor_model *model,
                                         pph_governor_part **part, uint64_t bytes, pph_error *err);
/* It holds it once less. After the last it is gone, and *part NULL: call after its memory was given back. */
void pph_governor_drop(pph_governor *governor, pph_governor_model *model, pph_governor_part **part);
/* Bytes of the parts that the model holds, alone or with others. alone  those of them that no other does */
uint64_t pph_governor_held(pph_governor *governor, const pph_governor_model *model,
                           uint64_t *alone);

/* The model is gone from memory: its bytes are free. NULL is accepted; clears the pointer. Call
 * after the memory was given back, and its parts were dropped, not before. */
void pph_governor_release(pph_governor *governor, pph_governor_model **model);

/* Numbers for health and metrics, all of one moment.
 * used       counted: everything entered and not claimed
 * claimed    promised to others and not yet released
 * evictable  what could be claimed now, a part of used
 * reserved   estimated and not yet settled, a part of used
 * present    in memory, or about to be: settled, claimed and started
 * parts      of bytes.weights, what models hold as parts
 * peak       the most that present has been; past the limit only where estimates were too low */
typedef struct pph_governor_view {
    uint64_t limit, used, claimed, evictable, reserved, present, parts, peak;
    pph_governor_bytes bytes; /* of what is settled, claimed ones included; parts are weights */
    size_t models, busy;      /* entered, claimed ones included; of these busy */
} pph_governor_view;

void pph_governor_look(pph_governor *governor, pph_governor_view *out);

/* The invariants, for tests and for debugging: false with a sentence when one is broken. */
bool pph_governor_check(pph_governor *governor, pph_error *err);

#endif
