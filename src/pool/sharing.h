/* Duplicate work in flight: whoever asks for what is being computed waits for that result.
 *
 * The first with a key leads: it is queued and run. Those that come while it is in flight follow: they
 * are not queued, and are answered with the leader's result, or its error, when it ends. A leader that
 * leaves early (cancelled, past its own deadline) passes the lead on. A follower still has its own
 * deadline and cancellation; its owner watches them and takes it out with pph_sharing_leave.
 *
 *   table --> leader --> leader          (a chain of one bucket)
 *               |
 *               +--> follower --> follower --> follower
 *
 * Nodes are embedded in what they stand for; memory is needed for the table alone. Where that cannot be
 * had, the first caller is alone and nothing is shared. Not locked: one owner, one lock. */
#ifndef PPH_POOL_SHARING_H
#define PPH_POOL_SHARING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What must be equal for two results to be. */
typedef struct pph_share_key {
    uint8_t content[16]; /* pph_hash128 of the input as the model gets it */
    uint32_t kind;
    uint64_t variant; /* model, precision, options: whatever else changes the result */
} pph_share_key;

typedef enum pph_share_role {
    PPH_SHARE_ALONE, /* in no table: run it, tell nobody */
    PPH_SHARE_LEADER,
    PPH_SHARE_FOLLOWER,
} pph_share_role;

/* `key` is the owner's, constant from the join to the end; the rest is zero at first. */
typedef struct pph_share {
    pph_share_key key;
    pph_share_role role;
    uint64_t hash;
    struct pph_share *chain;         /* a leader's: the next in its bucket */
    struct pph_share *leader;        /* a follower's */
    struct pph_share *first, *last;  /* a leader's followers */
    struct pph_share *next, *before; /* among followers; `next` also in a list handed out */
    size_t followers;                /* a leader's */
} pph_share;

/* Whether two nodes with equal keys are of the same content, byte for byte. The hash of the content is
 * no secret and not made to withstand someone who looks for collisions: with callers that do not trust
 * each other, compare. */
typedef bool pph_share_same(const pph_share *a, const pph_share *b);

/* Starts as {.same = ...} or {0}: equal keys are then taken as equal content. */
typedef struct pph_sharing {
    pph_share_same *same;
    pph_share **buckets; /* [bucket_count]; a power of two, or 0 */
    size_t bucket_count;
    size_t leaders;
} pph_sharing;

/* Forgets the leaders that are left, which are then alone, as are their followers. */
void pph_sharing_deinit(pph_sharing *sharing);

/* Enter a node that is in no table. Returns its role, which also stands in share->role. For a follower
 * share->leader is the node that it waits for (whose job may have to be made more urgent). */
pph_share_role pph_sharing_join(pph_sharing *sharing, pph_share *share);

/* The leader's result is there: take it out of the table and hand out its followers, linked by `next`,
 * in the order they came; each is alone from here on. NULL when there are none, and for a node that
 * does not lead. A node that joins afterwards leads anew. */
pph_share *pph_sharing_end(pph_sharing *sharing, pph_share *leader);

/* A node leaves before the result is there. NULL, but for a leader with followers: then the one that
 * waited longest, which leads the others from here on and has to be queued. */
pph_share *pph_sharing_leave(pph_sharing *sharing, pph_share *share);

#endif
