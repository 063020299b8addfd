/* Recall: each way gives its first few, what any of them gave is weighed by all.
 *
 * A filter that lets few through is turned into the list of what may be found; of one that lets many
 * through the best are looked at one by one, since most of them pass. */
#include "memory/recall.h"

#include "base/mem.h"
#include "memory/words.h"
#include <math.h>
#include <string.h>

enum {
    DEPTH_LEAST = 50,    /* how many of each way are weighed, at least */
    ALLOWED_MAX = 50000, /* a filter that lets no more through is made a list */
    WIDEST = 20000,      /* vectors that are looked at one by one for a filter, at most */
};

typedef struct gathered {
    pph_fusion_item *items;
    size_t count, room;
} gathered;

static void gathered_deinit(gathered *self)
{
    pph_free(self->items);
}

/* The item of a memory, made when no way has found it before. NULL: no memory. */
static pph_fusion_item *item_of(gathered *self, int64_t row)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].row == row)
            return &self->items[i];
    if (self->count == self->room) {
        size_t room = self->room ? 2 * self->room : 128;
        pph_fusion_item *items = pph_resize(self->items, room, sizeof *items);
        if (!items)
            return NULL;
        self->items = items;
        self->room = room;
    }
    pph_fusion_item *item = &self->items[self->count++];
    *item = (pph_fusion_item){.row = row, .words = (double)NAN};
    for (size_t s = 0; s < PPH_FUSION_SPACES; s++)
        item->cosine[s] = NAN;
    return item;
}

static size_t depth_of(const pph_recall_query *query)
{
    return PPH_MAX((size_t)DEPTH_LEAST, 3 * query->limit);
}

pph_status pph_recall_follow(pph_sql *sql, const pph_recall_query *query, pph_error *err)
{
    for (size_t s = 0; s < query->space_count; s++)
        PPH_TRY(pph_vectors_follow(query->spaces[s].vectors, sql, err));
    return PPH_OK;
}

/* The vectors of a space that a filter lets through, when they are few; else *count is past
 * ALLOWED_MAX. */
static pph_status list_allowed(pph_sql *sql, const pph_recall_query *query, int64_t model,
                               int64_t **out, size_t *count, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_AUTO(pph_free_at) int64_t *allowed = pph_alloc_array(ALLOWED_MAX + 1, sizeof *allowed);
    if (!allowed)
        return PPH_FAIL_MEMORY(err, (ALLOWED_MAX + 1) * sizeof *allowed);
    PPH_TRY(pph_buffer_print(&text, err,
                             "SELECT v.seq FROM vectors v JOIN memories m ON m.row = v.memory"
                             " WHERE v.model = ?1"));
    PPH_TRY(pph_filter_write(&text, query->filter, err));
    PPH_TRY(pph_buffer_print(&text, err, " ORDER BY v.seq LIMIT ?2"));
    const char *whole = pph_buffer_text(&text);
    if (!whole)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    PPH_TRY(pph_sql_prepare(sql, whole, &statement, err));
    pph_sql_bind_integer(statement, 1, model);
    pph_sql_bind_integer(statement, 2, ALLOWED_MAX + 1);
    pph_filter_bind(statement, query->filter, &query->time);
    for (bool row;;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            break;
        allowed[(*count)++] = pph_sql_integer(statement, 0);
    }
    *out = PPH_TAKE(allowed);
    return PPH_OK;
}

/* The memory that a vector belongs to; 0 when the filter does not let it through. */
static pph_status memory_of(pph_sql *sql, const pph_recall_query *query, int64_t seq, bool filtered,
                            int64_t *out, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_TRY(pph_buffer_print(&text, err,
                             "SELECT m.row FROM vectors v JOIN memories m ON m.row = v.memory"
                             " WHERE v.seq = ?1"));
    if (filtered)
        PPH_TRY(pph_filter_write(&text, query->filter, err));
    const char *whole = pph_buffer_text(&text);
    if (!whole)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    PPH_TRY(pph_sql_prepare(sql, whole, &statement, err));
    pph_sql_bind_integer(statement, 1, seq);
    if (filtered)
        pph_filter_bind(statement, query->filter, &query->time);
    bool row;
    PPH_TRY(pph_sql_step(statement, &row, err));
    *out = row ? pph_sql_integer(statement, 0) : 0;
    return PPH_OK;
}

/* The first vectors of a space; wider, while the filter leaves too few of them. */
static pph_status find_vectors(pph_sql *sql, const pph_recall_query *query, size_t space,
                               const int64_t *allowed, size_t allowed_count, bool filtered,
                               gathered *out, pph_error *err)
{
    pph_vectors *vectors = query->spaces[space].vectors;
    pph_vectors_query asked = {.team = query->team,
                               .query = query->spaces[space].query,
                               .allowed = allowed,
                               .allowed_count = allowed_count};
    PPH_TRY(pph_vectors_newest(vectors, sql, &asked.newest, err));
    size_t depth = depth_of(query), kept = 0, seen = 0;
    for (size_t wide = filtered ? 4 * depth : depth;; wide *= 4) {
        asked.limit = PPH_MIN(wide, (size_t)WIDEST);
        PPH_AUTO(pph_free_at) pph_vectors_hit *hits = pph_alloc_array(asked.limit, sizeof *hits);
        if (!hits)
            return PPH_FAIL_MEMORY(err, asked.limit * sizeof *hits);
        size_t count;
        PPH_TRY(pph_vectors_search(vectors, sql, &asked, hits, &count, err));
        for (; seen < count && kept < depth; seen++) {
            int64_t row;
            PPH_TRY(memory_of(sql, query, hits[seen].seq, filtered, &row, err));
            if (!row)
                continue;
            pph_fusion_item *item = item_of(out, row);
            if (!item)
                return PPH_FAIL_MEMORY(err, sizeof *item);
            /* Of a memory with several vectors the nearest counts. */
            if (isnan(item->cosine[space])) {
                item->cosine[space] = hits[seen].score;
                kept++;
            }
        }
        if (kept >= depth || count < asked.limit || asked.limit == WIDEST)
            return PPH_OK;
    }
}

static pph_status find_in_space(pph_sql *sql, const pph_recall_query *query, size_t space,
                                gathered *out, pph_error *err)
{
    if (pph_filter_is_empty(query->filter))
        return find_vectors(sql, query, space, NULL, 0, false, out, err);
    PPH_AUTO(pph_free_at) int64_t *allowed = NULL;
    size_t count = 0;
    PPH_TRY(list_allowed(sql, query, pph_vectors_model(query->spaces[space].vectors), &allowed,
                         &count, err));
    if (count > ALLOWED_MAX)
        return find_vectors(sql, query, space, NULL, 0, true, out, err);
    return find_vectors(sql, query, space, allowed, count, false, out, err);
}

static pph_status find_words(pph_sql *sql, const pph_recall_query *query, gathered *out,
                             pph_error *err)
{
    size_t depth = depth_of(query), count;
    PPH_AUTO(pph_free_at) pph_words_hit *hits = pph_alloc_array(depth, sizeof *hits);
    if (!hits)
        return PPH_FAIL_MEMORY(err, depth * sizeof *hits);
    PPH_TRY(pph_words_search(sql, pph_str_view(query->text), query->filter, &query->time, depth,
                             hits, &count, err));
    for (size_t i = 0; i < count; i++) {
        pph_fusion_item *item = item_of(out, hits[i].row);
        if (!item)
            return PPH_FAIL_MEMORY(err, sizeof *item);
        item->words = hits[i].score;
    }
    return PPH_OK;
}

static pph_status weigh_importance(pph_sql *sql, const pph_recall_query *query, gathered *all,
                                   pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(
        sql, "SELECT decayed(importance, since, ?2, ?3, ?4) FROM memories WHERE row = ?1",
        &statement, err));
    for (size_t i = 0; i < all->count; i++) {
        bool row;
        pph_sql_reset(statement);
        pph_sql_bind_integer(statement, 1, all->items[i].row);
        pph_sql_bind_integer(statement, 2, query->time.now);
        pph_sql_bind_number(statement, 3, query->time.rate);
        pph_sql_bind_number(statement, 4, query->time.floor);
        PPH_TRY(pph_sql_step(statement, &row, err));
        all->items[i].importance = row ? pph_sql_number(statement, 0) : 0;
    }
    return PPH_OK;
}

pph_status pph_recall_run(pph_sql *sql, const pph_recall_query *query, pph_fusion_item **items,
                          size_t *count, pph_error *err)
{
    PPH_AUTO(gathered_deinit) gathered all = {0};
    for (size_t s = 0; s < query->space_count; s++)
        PPH_TRY(find_in_space(sql, query, s, &all, err));
    if (query->text)
        PPH_TRY(find_words(sql, query, &all, err));
    PPH_TRY(weigh_importance(sql, query, &all, err));
    pph_fusion_rank(all.items, all.count, query->space_count, &query->weights);
    *count = PPH_MIN(all.count, query->limit);
    *items = PPH_TAKE(all.items);
    return PPH_OK;
}
