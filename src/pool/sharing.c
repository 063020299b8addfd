/* Duplicate work in flight: a chained hash table of leaders, each with a list of followers. Refuses
 * nothing: without memory nodes are alone. Not locked: one owner, one lock. */
#include "pool/sharing.h"

#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

/* Chains are on average this long at most; past it without memory to grow, nothing new is shared. */
enum { FIRST_BUCKETS = 64, CHAIN_WANTED = 1, CHAIN_MOST = 8 };

static uint64_t hash_of(const pph_share_key *key)
{
    uint8_t bytes[sizeof key->content + sizeof key->kind + sizeof key->variant];
    memcpy(bytes, key->content, sizeof key->content);
    memcpy(bytes + sizeof key->content, &key->kind, sizeof key->kind);
    memcpy(bytes + sizeof key->content + sizeof key->kind, &key->variant, sizeof key->variant);
    return pph_hash64(bytes, sizeof bytes);
}

static pph_share **bucket_of(const pph_sharing *sharing, uint64_t hash)
{
    return &sharing->buckets[hash & (sharing->bucket_count - 1)];
}

static bool equal(const pph_sharing *sharing, const pph_share *a, const pph_share *b)
{
    return a->hash == b->hash && a->key.kind == b->key.kind && a->key.variant == b->key.variant &&
           memcmp(a->key.content, b->key.content, sizeof a->key.content) == 0 &&
           (!sharing->same || sharing->same(a, b));
}

/* Room for one more leader; false when there is none to be had. */
static bool make_room(pph_sharing *sharing)
{
    size_t old_count = sharing->bucket_count;
    if (sharing->leaders < old_count * CHAIN_WANTED)
        return true;
    size_t count = old_count ? old_count * 2 : FIRST_BUCKETS;
    pph_share **buckets = pph_alloc_array(count, sizeof(pph_share *));
    if (!buckets)
        return sharing->leaders < old_count * CHAIN_MOST;
    pph_share **old = sharing->buckets;
    sharing->buckets = buckets;
    sharing->bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        for (pph_share *share = old[i], *chain; share; share = chain) {
            chain = share->chain;
            pph_share **bucket = bucket_of(sharing, share->hash);
            share->chain = *bucket;
            *bucket = share;
        }
    }
    pph_free(old);
    return true;
}

static void leave_bucket(pph_sharing *sharing, pph_share *leader, pph_share *successor)
{
    pph_share **link = bucket_of(sharing, leader->hash);
    while (*link != leader)
        link = &(*link)->chain;
    if (successor)
        successor->chain = leader->chain;
    *link = successor ? successor : leader->chain;
}

/* Back to what it was before it joined, but for the key and the link of a list. */
static void reset(pph_share *share)
{
    *share = (pph_share){.key = share->key, .next = share->next};
}

pph_share_role pph_sharing_join(pph_sharing *sharing, pph_share *share)
{
    share->next = NULL;
    reset(share);
    share->hash = hash_of(&share->key);
    pph_share *leader = sharing->bucket_count ? *bucket_of(sharing, share->hash) : NULL;
    while (leader && !equal(sharing, leader, share))
        leader = leader->chain;
    if (leader) {
        share->role = PPH_SHARE_FOLLOWER;
        share->leader = leader;
        share->before = leader->last;
        *(leader->last ? &leader->last->next : &leader->first) = share;
        leader->last = share;
        leader->followers++;
    } else if (make_room(sharing)) {
        pph_share **bucket = bucket_of(sharing, share->hash);
        share->role = PPH_SHARE_LEADER;
        share->chain = *bucket;
        *bucket = share;
        sharing->leaders++;
    }
    return share->role;
}

pph_share *pph_sharing_end(pph_sharing *sharing, pph_share *leader)
{
    if (leader->role != PPH_SHARE_LEADER)
        return NULL;
    leave_bucket(sharing, leader, NULL);
    sharing->leaders--;
    pph_share *first = leader->first;
    reset(leader);
    for (pph_share *share = first; share; share = share->next)
        reset(share);
    return first;
}

/* In time that grows with the followers: each learns its new leader. */
static pph_share *pass_on(pph_sharing *sharing, pph_share *leader)
{
    pph_share *heir = leader->first;
    leave_bucket(sharing, leader, heir);
    heir->role = PPH_SHARE_LEADER;
    heir->leader = NULL;
    heir->first = heir->next;
    heir->last = heir->next ? leader->last : NULL;
    heir->followers = leader->followers - 1;
    heir->next = NULL;
    if (heir->first)
        heir->first->before = NULL;
    for (pph_share *share = heir->first; share; share = share->next)
        share->leader = heir;
    return heir;
}

static void leave_leader(pph_share *share)
{
    pph_share *leader = share->leader;
    *(share->before ? &share->before->next : &leader->first) = share->next;
    *(share->next ? &share->next->before : &leader->last) = share->before;
    leader->followers--;
}

pph_share *pph_sharing_leave(pph_sharing *sharing, pph_share *share)
{
    pph_share *heir = NULL;
    if (share->role == PPH_SHARE_FOLLOWER) {
        leave_leader(share);
    } else if (share->role == PPH_SHARE_LEADER && share->first) {
        heir = pass_on(sharing, share);
    } else if (share->role == PPH_SHARE_LEADER) {
        leave_bucket(sharing, share, NULL);
        sharing->leaders--;
    }
    share->next = NULL;
    reset(share);
    return heir;
}

void pph_sharing_deinit(pph_sharing *sharing)
{
    for (size_t i = 0; i < sharing->bucket_count; i++) {
        while (sharing->buckets[i]) {
            pph_share *share = pph_sharing_end(sharing, sharing->buckets[i]);
            for (pph_share *next; share; share = next) {
                next = share->next;
                share->next = NULL;
            }
        }
    }
    pph_free(sharing->buckets);
    *sharing = (pph_sharing){.same = sharing->same};
}
