/* Searches: the query's vectors made by the embedders, the store searched on a reader, what was found
 * noted as recalled by the writer, without anyone's waiting for that. */
#include "memory/service.h"

#include "base/mem.h"
#include "memory/recall.h"
#include "memory/record.h"
#include "memory/store.h"
#include <math.h>
#include <string.h>

enum { LIMIT = 10, LIMIT_MAX = 1000 };

typedef struct searching {
    pph_task task;
    char *text;
    pph_input picture; /* a copy on the heap; size 0: none */
    pph_memory_filter *filter;
    size_t limit;
    bool vectors, words, time, peek;
    float *queries[PPH_SERVICE_EMBEDDERS]; /* of unit length; NULL: that space is not searched */
    size_t dimensions[PPH_SERVICE_EMBEDDERS];
} searching;

typedef struct hits {
    pph_memory_hits public;
    pph_memory_hit *items;
    pph_store_list list;
} hits;

/* Memories that were found, to be noted. */
typedef struct noting {
    pph_task task;
    int64_t now;
    size_t count;
    int64_t rows[];
} noting;

static void free_searching(pph_task *task)
{
    searching *self = (searching *)task;
    pph_free(self->text);
    pph_free((void *)(uintptr_t)self->picture.data);
    pph_free(self->filter);
    for (size_t i = 0; i < PPH_SERVICE_EMBEDDERS; i++)
        pph_free(self->queries[i]);
}

static void free_hits(void *value)
{
    hits *self = value;
    pph_store_list_deinit(&self->list);
    pph_free(self->items);
    pph_free(self);
}

static pph_status plan(pph_task *task, pph_sql *sql, pph_error *err)
{
    (void)sql;
    searching *self = (searching *)task;
    const pph_memory *memory = task->memory;
    for (size_t e = 0; self->vectors && e < memory->space_count; e++) {
        const pph_memory_embedder *embedder = &memory->spaces[e].embedder;
        pph_task_embedding *asked;
        if (self->text && embedder->texts) {
            PPH_TRY(pph_task_ask(task, e, false, 1, &asked, err));
            asked->inputs[asked->count++] = pph_input_text(self->text);
        }
        if (self->picture.size && embedder->pictures) {
            PPH_TRY(pph_task_ask(task, e, true, 1, &asked, err));
            asked->inputs[asked->count++] = self->picture;
        }
    }
    return PPH_OK;
}

/* A space is searched by the sum of what its embedder made of text and picture. */
static pph_status take_vectors(searching *self, pph_error *warning, pph_error *err)
{
    for (size_t i = 0; i < self->task.embedding_count; i++) {
        size_t space = self->task.embeddings[i].embedder, dimensions;
        PPH_AUTO(pph_free_at) float *vector = NULL;
        PPH_TRY(pph_task_vector(&self->task.embeddings[i], 0, &vector, &dimensions, warning, err));
        if (!vector)
            continue;
        float *sum = self->queries[space];
        if (!sum) {
            self->queries[space] = PPH_TAKE(vector);
            self->dimensions[space] = dimensions;
            continue;
        }
        double squares = 0;
        for (size_t k = 0; dimensions == self->dimensions[space] && k < dimensions; k++) {
            sum[k] += vector[k];
            squares += (double)sum[k] * (double)sum[k];
        }
        for (size_t k = 0; squares > 0 && k < dimensions; k++)
            sum[k] = (float)((double)sum[k] / sqrt(squares));
    }
    return PPH_OK;
}

/* The search itself, in one transaction. */
typedef struct finding {
    pph_sql *sql;
    const pph_recall_query *query;
    hits *found;
} finding;

static void fill_hit(pph_memory_hit *hit, const pph_fusion_item *item, size_t spaces)
{
    hit->score = item->score;
    hit->relevance = item->relevance;
    hit->words = item->words_rank ? item->words : 0;
    hit->words_rank = item->words_rank;
    hit->importance = item->importance;
    hit->importance_rank = item->importance_rank;
    for (size_t s = 0; s < spaces; s++) {
        size_t rank = item->cosine_rank[s];
        if (rank && (!hit->cosine_rank || rank < hit->cosine_rank)) {
            hit->cosine_rank = rank;
            hit->cosine = (double)item->cosine[s];
        }
    }
}

static pph_status find_inside(void *context, pph_error *err)
{
    finding *work = context;
    PPH_AUTO(pph_free_at) pph_fusion_item *items = NULL;
    size_t count;
    PPH_TRY(pph_recall_run(work->sql, work->query, &items, &count, err));
    hits *found = work->found;
    found->items = pph_alloc_array(count, sizeof *found->items);
    if (!found->items)
        return PPH_FAIL_MEMORY(err, count * sizeof *found->items);
    for (size_t i = 0; i < count; i++) {
        bool there;
        PPH_TRY(pph_store_read(work->sql, items[i].row, false, &found->list, &there, err));
        if (there)
            fill_hit(&found->items[found->list.count - 1], &items[i], work->query->space_count);
    }
    for (size_t i = 0; i < found->list.count; i++)
        found->items[i].item = found->list.items[i];
    found->public.count = found->list.count;
    found->public.items = found->items;
    return PPH_OK;
}

static pph_status run_noting(pph_task *task, pph_sql *sql, pph_error *err)
{
    noting *self = (noting *)task;
    return pph_store_recalled(sql, self->rows, self->count, self->now, err);
}

static const pph_task_kind kind_note = {true, NULL, NULL, run_noting, NULL};

static void note(pph_memory *memory, const pph_store_list *list)
{
    if (!list->count)
        return;
    noting *self = (noting *)pph_task_new(sizeof *self + list->count * sizeof self->rows[0], memory,
                                          &kind_note);
    if (!self)
        return;
    self->now = pph_memory_now();
    self->count = list->count;
    memcpy(self->rows, list->rows, list->count * sizeof self->rows[0]);
    pph_task_submit_aside(memory, &self->task);
}

static pph_status run(pph_task *task, pph_sql *sql, pph_error *err)
{
    searching *self = (searching *)task;
    hits *found = pph_alloc(sizeof *found);
    if (!found)
        return PPH_FAIL_MEMORY(err, sizeof *found);
    task->value = found;
    task->release = free_hits;
    PPH_TRY(take_vectors(self, &found->public.warning, err));
    pph_recall_space spaces[PPH_SERVICE_EMBEDDERS];
    pph_recall_query query = {.spaces = spaces,
                              .text = self->words ? self->text : NULL,
                              .filter = self->filter,
                              .time = pph_memory_time(task->memory),
                              .weights = pph_fusion_defaults(),
                              .limit = self->limit,
                              .team = task->memory->team};
    if (!self->time)
        query.weights.importance = 0;
    for (size_t s = 0; s < task->memory->space_count; s++) {
        pph_vectors *index = NULL;
        if (self->queries[s])
            PPH_TRY(pph_memory_index(task->memory, s, sql, &index, err));
        if (!index)
            continue;
        if (pph_vectors_dimensions(index) != self->dimensions[s])
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "'%.128s' gives vectors of %zu, the memory has those of %zu",
                            task->memory->spaces[s].embedder.name, self->dimensions[s],
                            pph_vectors_dimensions(index));
        spaces[query.space_count++] = (pph_recall_space){index, self->queries[s]};
    }
    PPH_TRY(pph_recall_follow(sql, &query, err));
    finding work = {.sql = sql, .query = &query, .found = found};
    PPH_TRY(pph_sql_transaction(sql, false, find_inside, &work, err));
    if (!self->peek)
        note(task->memory, &found->list);
    return PPH_OK;
}

static const pph_task_kind kind_search = {false, NULL, plan, run, free_searching};

static pph_status check(const pph_memory_query *query, pph_error *err)
{
    if (!query || !((query->text && *query->text) || (query->picture && query->picture->size)))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "there is nothing to look for: give a text, or a "
                        "picture");
    if (query->limit > LIMIT_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a search gives at most %d memories", LIMIT_MAX);
    if (query->picture && (query->picture->kind == PPH_INPUT_TEXT || !query->picture->data ||
                           query->picture->size > 2 * PPH_RECORD_PICTURE_MAX))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the picture to look for is none, or too large");
    const pph_memory_item text = {.text = query->text};
    return pph_record_check(&text, PPH_MEMORY_SET_TEXT, err);
}

static pph_status fill(searching *self, const pph_memory_query *query, pph_error *err)
{
    PPH_TRY(pph_filter_copy(&self->filter, query->filter, err));
    if (query->text && *query->text && !(self->text = pph_str_copy(pph_str_view(query->text))))
        return PPH_FAIL_MEMORY(err, strlen(query->text));
    if (query->picture && query->picture->size) {
        char *copy =
            pph_str_copy((pph_str){(const char *)query->picture->data, query->picture->size});
        if (!copy)
            return PPH_FAIL_MEMORY(err, query->picture->size);
        self->picture = (pph_input){query->picture->kind, copy, query->picture->size};
    }
    self->limit = query->limit ? query->limit : LIMIT;
    self->vectors = !query->without_vectors;
    self->words = !query->without_words;
    self->time = !query->without_time;
    self->peek = query->peek;
    return PPH_OK;
}

pph_future *pph_memory_search(pph_memory *memory, const pph_memory_query *query)
{
    pph_error error = {0};
    searching *self = NULL;
    pph_status status = check(query, &error);
    if (status == PPH_OK) {
        self = (searching *)pph_task_new(sizeof *self, memory, &kind_search);
        status = self ? fill(self, query, &error) : PPH_FAIL_MEMORY(&error, sizeof *self);
    }
    if (status != PPH_OK && self) {
        free_searching(&self->task);
        pph_free(self);
        self = NULL;
    }
    return pph_task_submit(memory, self ? &self->task : NULL, &error);
}
