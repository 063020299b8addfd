/* Words.
 * Source  Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", as
 *         SQLite's FTS5 has it */
#include "memory/words.h"

#include <string.h>

/* What the index takes for a word is made of letters, numbers and marks. */
static bool in_word(uint32_t point)
{
    return point != '_' && pph_unicode_word(point);
}

static bool has_word(const pph_buffer *out, pph_str word)
{
    for (size_t at = 0; at + word.size + 2 <= out->size; at++)
        if (out->data[at] == '"' && memcmp(out->data + at + 1, word.data, word.size) == 0 &&
            out->data[at + 1 + word.size] == '"')
            return true;
    return false;
}

pph_status pph_words_expression(pph_buffer *out, pph_str text, pph_error *err)
{
    size_t words = 0, begin = 0, length = 0;
    for (size_t at = 0; at <= text.size && words < PPH_WORDS_MAX; at += length) {
        bool inside = at < text.size && in_word(pph_utf8_decode(text, at, &length));
        if (at == text.size)
            length = 1;
        if (inside)
            continue;
        pph_str word = {text.data + begin, at - begin};
        begin = at + length;
        if (!word.size || has_word(out, word))
            continue;
        PPH_TRY(pph_buffer_print(out, err, words++ ? " OR \"" : "\""));
        PPH_TRY(pph_buffer_append(out, word.data, word.size, err));
        PPH_TRY(pph_buffer_append(out, "\"", 1, err));
    }
    return PPH_OK;
}

pph_status pph_words_search(pph_sql *sql, const char *expression, const pph_memory_filter *filter,
                            const pph_filter_time *time, size_t limit, pph_words_hit *hits,
                            size_t *count, pph_error *err)
{
    *count = 0;
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_TRY(pph_buffer_print(&text, err, "SELECT words.rowid, -bm25(words) FROM words"));
    if (!pph_filter_is_empty(filter))
        PPH_TRY(pph_buffer_print(&text, err, " JOIN memories m ON m.row = words.rowid"));
    PPH_TRY(pph_buffer_print(&text, err, " WHERE words MATCH ?1"));
    PPH_TRY(pph_filter_write(&text, filter, err));
    PPH_TRY(pph_buffer_print(&text, err, " ORDER BY bm25(words), words.rowid DESC LIMIT ?2"));
    const char *whole = pph_buffer_text(&text);
    if (!whole)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    PPH_TRY(pph_sql_prepare(sql, whole, &statement, err));
    pph_sql_bind_string(statement, 1, expression);
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
