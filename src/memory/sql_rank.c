/* BM25 as the literature has it, in parts of what a word counts that one row alone has.
 *
 * A word always counts for something, also where every row has it, so that in a store of few rows those
 * that have more of the words come first; FTS5's own function gives a word of half the rows next to
 * nothing. But words that most rows have, be they ever so many, do not add up to one that is rare.
 *
 * How many rows have a word is counted once a statement, and no further than makes a difference.
 * Source  Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond"; the
 *         weight of a word as Lucene has it, log(1 + (N - n + 0.5) / (n + 0.5)) */
#include "memory/sql_rank.h"

#include <math.h>
#include <sqlite3.h>
#include <string.h>

/* How soon a word that is repeated adds no more, and how much a long text takes from it. */
static const double saturation = 1.2, length_share = 0.75;

/* What one statement knows.
 * length  of a row on average, in words
 * alone   the weight of a word that one row has
 * weight  [phrases]
 * times   [phrases], how often each stands in the row that is looked at */
typedef struct ranking {
    int phrases;
    double length, alone;
    double *weight, *times;
} ranking;

static int count_row(const Fts5ExtensionApi *api, Fts5Context *index, void *counted)
{
    (void)api, (void)index;
    return ++*(int *)counted < PPH_SQL_RANK_ROWS ? SQLITE_OK : SQLITE_DONE;
}

static double weight_of(sqlite3_int64 rows, int with)
{
    double without = rows > with ? (double)(rows - with) : 0;
    return log1p((without + 0.5) / ((double)with + 0.5));
}

static int weigh(ranking *self, const Fts5ExtensionApi *api, Fts5Context *index)
{
    sqlite3_int64 rows = 0, words = 0;
    int code = api->xRowCount(index, &rows);
    if (code == SQLITE_OK)
        code = api->xColumnTotalSize(index, -1, &words);
    self->length = rows > 0 && words > 0 ? (double)words / (double)rows : 1;
    self->alone = weight_of(rows, 1);
    for (int i = 0; i < self->phrases && code == SQLITE_OK; i++) {
        int with = 0;
        code = api->xQueryPhrase(index, i, &with, count_row);
        self->weight[i] = weight_of(rows, with);
    }
    return code;
}

/* The statement's, made when its first row is ranked. NULL and a code: not. */
static ranking *ranking_of(const Fts5ExtensionApi *api, Fts5Context *index, int *code)
{
    ranking *self = api->xGetAuxdata(index, 0);
    if (self)
        return self;
    size_t phrases = (size_t)api->xPhraseCount(index);
    sqlite3_uint64 size = sizeof *self + 2 * phrases * sizeof(double);
    if (!(self = sqlite3_malloc64(size))) {
        *code = SQLITE_NOMEM;
        return NULL;
    }
    double *numbers = (double *)(self + 1);
    *self = (ranking){.phrases = (int)phrases, .weight = numbers, .times = numbers + phrases};
    *code = weigh(self, api, index);
    if (*code != SQLITE_OK) {
        sqlite3_free(self);
        return NULL;
    }
    *code = api->xSetAuxdata(index, self, sqlite3_free); /* frees it where it fails */
    return *code == SQLITE_OK ? self : NULL;
}

static int count_words(ranking *self, const Fts5ExtensionApi *api, Fts5Context *index)
{
    int instances = 0, code = api->xInstCount(index, &instances);
    memset(self->times, 0, (size_t)self->phrases * sizeof *self->times);
    for (int i = 0, phrase, column, at; i < instances && code == SQLITE_OK; i++) {
        code = api->xInst(index, i, &phrase, &column, &at);
        if (code == SQLITE_OK && phrase >= 0 && phrase < self->phrases)
            self->times[phrase]++;
    }
    return code;
}

static void ranked(const Fts5ExtensionApi *api, Fts5Context *index, sqlite3_context *result,
                   int count, sqlite3_value **values)
{
    (void)count, (void)values;
    int code = SQLITE_OK, words = 0;
    ranking *self = ranking_of(api, index, &code);
    if (self)
        code = count_words(self, api, index);
    if (code == SQLITE_OK)
        code = api->xColumnSize(index, -1, &words);
    if (code != SQLITE_OK) {
        sqlite3_result_error_code(result, code);
        return;
    }
    double score = 0;
    double most = saturation * (1 - length_share + length_share * words / self->length);
    for (int i = 0; i < self->phrases; i++)
        score += self->weight[i] * self->times[i] * (saturation + 1) / (self->times[i] + most);
    sqlite3_result_double(result, score / self->alone);
}

int pph_sql_rank_register(sqlite3 *connection)
{
    fts5_api *api = NULL;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(connection, "SELECT fts5(?1)", -1, &statement, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", NULL);
        code = sqlite3_step(statement);
    }
    int ended = sqlite3_finalize(statement);
    if (code != SQLITE_ROW)
        return ended != SQLITE_OK ? ended : code == SQLITE_DONE ? SQLITE_ERROR : code;
    return api ? api->xCreateFunction(api, "ranked", NULL, ranked, NULL) : SQLITE_ERROR;
}
