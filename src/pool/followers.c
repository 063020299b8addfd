/* Equal inputs in flight: the first is run, the others wait for its result. Glue between items and
 * sharing.h; the table is the model's, under its lock. */
#include "pool/service.h"

#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

static pph_item *item_of(pph_share *share)
{
    return (pph_item *)((char *)share - offsetof(pph_item, share));
}

/* What stands beside the content in the result's making, as a number. */
static uint64_t variant_of(const pph_item *item, uint64_t seed)
{
    const pph_multimodal_options *options = &item->request->multimodal->options;
    uint64_t task[2] = {0}, query[2] = {0};
    if (options->task)
        pph_hash128_seeded(options->task, strlen(options->task), seed, (uint8_t *)task);
    if (item->request->query)
        pph_hash128_seeded(item->request->query, item->request->query_size, seed, (uint8_t *)query);
    return ((uint64_t)options->raw | (uint64_t)options->truncate << 1 |
            (uint64_t)options->dimensions << 2) ^
           task[0] ^ query[1];
}

bool pph_embedding_follow(pph_item *item, pph_str content)
{
    pph_embedding *model = item->request->model;
    if (item->share.role != PPH_SHARE_ALONE)
        return false; /* it leads already, having inherited that */
    pph_share_key *key = &item->share.key;
    pph_hash128_seeded(content.data, content.size, model->base.pool->hash_seed, key->content);
    key->kind = item->kind == PPH_INPUT_TEXT;
    key->variant = variant_of(item, model->base.pool->hash_seed);
    pthread_mutex_lock(&model->base.mutex);
    bool follows = pph_sharing_join(&model->sharing, &item->share) == PPH_SHARE_FOLLOWER;
    if (follows) {
        pph_item *leader = item_of(item->share.leader);
        if (item->place.priority < leader->place.priority)
            pph_jobs_raise(model->ready, &leader->place, item->place.priority);
        pph_metrics_add(&model->base.metrics->shared_inputs, 1);
    }
    pthread_mutex_unlock(&model->base.mutex);
    return follows;
}

/* The leader goes for reasons of its own: the heir takes what was made for it. */
static pph_item *pass_on(pph_item *leader, pph_share *share)
{
    pph_item *heir = item_of(share);
    heir->pixels = PPH_TAKE(leader->pixels);
    heir->tokens = PPH_TAKE(leader->tokens);
    heir->token_count = leader->token_count;
    heir->place.cost = leader->place.cost;
    return heir;
}

/* The leader's result, or its error, for one that waited. */
static void give_result(pph_item *follower, const pph_item *leader, size_t dimensions)
{
    if (leader->error.status != PPH_OK || !leader->vector) {
        follower->error = leader->error;
        return;
    }
    dimensions = pph_request_dimensions(follower->request, dimensions);
    follower->vector = pph_alloc_array(dimensions, sizeof(float));
    if (follower->vector)
        memcpy(follower->vector, leader->vector, dimensions * sizeof(float));
    else
        (void)PPH_FAIL_MEMORY(&follower->error, dimensions * sizeof(float));
}

static bool is_its_own(pph_status status)
{
    return status == PPH_CANCELLED || status == PPH_TIMEOUT || status == PPH_SHUTTING_DOWN;
}

pph_share *pph_embedding_part(pph_item *item, pph_item **heir)
{
    pph_embedding *model = item->request->model;
    *heir = NULL;
    if (item->share.role == PPH_SHARE_ALONE)
        return NULL;
    pph_share *told = NULL;
    pthread_mutex_lock(&model->base.mutex);
    if (item->share.role == PPH_SHARE_LEADER && !is_its_own(item->error.status)) {
        told = pph_sharing_end(&model->sharing, &item->share);
    } else {
        pph_share *share = pph_sharing_leave(&model->sharing, &item->share);
        if (share)
            *heir = pass_on(item, share);
    }
    pthread_mutex_unlock(&model->base.mutex);
    size_t dimensions = atomic_load(&model->dimensions);
    for (pph_share *share = told; share; share = share->next)
        give_result(item_of(share), item, dimensions);
    return told;
}

void pph_embedding_end_followers(pph_share *told)
{
    while (told) {
        pph_share *next = told->next;
        pph_embedding_end(item_of(told));
        told = next;
    }
}
