/* Words.
 *
 * Ranking costs about a microsecond for each memory that has one of the words. So words that more have
 * than MANY are left out, or the memories are, where there are no other words. */
#include "memory/words.h"

#include "memory/sql_rank.h"
#include <string.h>

/* More memories than that with a word are many; telling costs as many steps. */
enum { MANY = PPH_SQL_RANK_ROWS };

/* The words of a text, each once, as they stand in it. */
typedef struct list {
    pph_str at[PPH_WORDS_MAX];
    size_t count;
} list;

/* What the index takes for a word is made of letters, numbers and marks. */
static bool in_word(uint32_t point)
{
    return point != '_' && pph_unicode_word(point);
}

static bool has_word(const list *words, pph_str word)
{
    for (size_t i = 0; i < words->count; i++)
        if (pph_str_equal(words->at[i], word))
            return true;
    return false;
}

static void split(list *words, pph_str text)
{
    size_t begin = 0, length = 0;
    for (size_t at = 0; at <= text.size && words->count < PPH_WORDS_MAX; at += length) {
        bool inside = at < text.size && in_word(pph_utf8_decode(text, at, &length));
        if (at == text.size)
            length = 1;
        if (inside)
            continue;
        pph_str word = {text.data + begin, at - begin};
        begin = at + length;
        if (word.size && !has_word(words, word))
            words->at[words->count++] = word;
    }
}

/* An expression of FTS5: the words, each in quotes, with `between` between them. */
static pph_status write_expression(pph_buffer *out, const list *words, const char *between,
                                   pph_error *err)
{
    for (size_t i = 0; i < words->count; i++) {
        PPH_TRY(pph_buffer_print(out, err, "%s", i ? between : "\""));
        PPH_TRY(pph_buffer_append(out, words->at[i].data, words->at[i].size, err));
        PPH_TRY(pph_buffer_append(out, "\"", 1, err));
    }
    return pph_buffer_text(out) ? PPH_OK : PPH_FAIL_MEMORY(err, out->size + 1);
}

/* Are there more memories than MANY, some of them perhaps deleted? */
static pph_status store_is_large(pph_sql *sql, bool *large, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(sql, "SELECT 1 FROM memories WHERE row > ?1 LIMIT 1", &statement, err));
    pph_sql_bind_integer(statement, 1, MANY);
    return pph_sql_step(statement, large, err);
}

/* Do more than MANY memories have the word? */
static pph_status word_is_common(pph_sql *sql, pph_str word, bool *common, pph_error *err)
{
    const list one = {.at = {word}, .count = 1};
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_TRY(write_expression(&text, &one, "", err));
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(sql, "SELECT 1 FROM words WHERE words MATCH ?1 LIMIT 1 OFFSET ?2",
                            &statement, err));
    pph_sql_bind_string(statement, 1, pph_buffer_text(&text));
    pph_sql_bind_integer(statement, 2, MANY);
    return pph_sql_step(statement, common, err);
}

/* The words that not many memories have. */
static pph_status pick_rare(pph_sql *sql, const list *words, list *rare, pph_error *err)
{
    bool large, common;
    *rare = *words;
    PPH_TRY(store_is_large(sql, &large, err));
    if (!large)
        return PPH_OK;
    rare->count = 0;
    for (size_t i = 0; i < words->count; i++) {
        PPH_TRY(word_is_common(sql, words->at[i], &common, err));
        if (!common)
            rare->at[rare->count++] = words->at[i];
    }
    return PPH_OK;
}

/* Write the statement. latest  of what is found only the latest are ranked */
static pph_status write_query(pph_buffer *out, const pph_memory_filter *filter, bool latest,
                              pph_error *err)
{
    if (latest)
        PPH_TRY(pph_buffer_print(out, err, "SELECT * FROM ("));
    PPH_TRY(
        pph_buffer_print(out, err, "SELECT words.rowid AS at, ranked(words) AS score FROM words"));
    if (!pph_filter_is_empty(filter))
        PPH_TRY(pph_buffer_print(out, err, " JOIN memories m ON m.row = words.rowid"));
    PPH_TRY(pph_buffer_print(out, err, " WHERE words MATCH ?1"));
    PPH_TRY(pph_filter_write(out, filter, err));
    if (latest)
        PPH_TRY(pph_buffer_print(out, err, " ORDER BY words.rowid DESC LIMIT %d)", (int)MANY));
    PPH_TRY(pph_buffer_print(out, err, " ORDER BY score DESC, at DESC LIMIT ?2"));
    return pph_buffer_text(out) ? PPH_OK : PPH_FAIL_MEMORY(err, out->size + 1);
}

pph_status pph_words_search(pph_sql *sql, pph_str text, const pph_memory_filter *filter,
                            const pph_filter_time *time, size_t limit, pph_words_hit *hits,
                            size_t *count, pph_error *err)
{
    list words = {.count = 0}, rare;
    *count = 0;
    split(&words, text);
    if (!words.count)
        return PPH_OK;
    PPH_TRY(pick_rare(sql, &words, &rare, err));
    bool all = rare.count == 0;
    PPH_AUTO(pph_buffer_deinit) pph_buffer expression = {0}, query = {0};
    PPH_TRY(write_expression(&expression, all ? &words : &rare, all ? " AND \"" : " OR \"", err));
    PPH_TRY(write_query(&query, filter, all, err));
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(sql, pph_buffer_text(&query), &statement, err));
    pph_sql_bind_string(statement, 1, pph_buffer_text(&expression));
    pph_sql_bind_integer(statement, 2, (int64_t)limit);
    pph_filter_bind(statement, filter, time);
    for (bool row; *count < limit;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            break;
        hits[(*count)++] =
            (pph_words_hit){pph_sql_integer(statement, 0), pph_sql_number(statement, 1)};
    }
    return PPH_OK;
}
