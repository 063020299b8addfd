/* Finding memories by their words: in few, where each word is common, and in so many that ranking all who
 * have a word would take long. */
#include "memory/schema.h"
#include "memory/sql_rank.h"
#include "memory/words.h"

#include "base/mem.h"
#include "place.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { LIMIT = 8 };

typedef struct found {
    pph_words_hit hits[LIMIT];
    size_t count;
} found;

static pph_sql *open_store(void)
{
    pph_sql *sql = NULL;
    assert_int_equal(pph_sql_open(&sql, place_path("words"), 1000, NULL), PPH_OK);
    assert_int_equal(pph_schema_prepare(sql, NULL), PPH_OK);
    return sql;
}

static void close_store(pph_sql **sql)
{
    pph_sql_close(sql);
    place_remove_store("words");
}

/* `count` memories of `text`, which is an expression of SQL in which n counts them. */
static void add(pph_sql *sql, int count, const char *text)
{
    char statement[512];
    snprintf(
        statement, sizeof statement,
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) "
        "INSERT INTO memories(id, kind, status, text, hash, created, updated, recalled, recalls,"
        " importance, since, source, owner, agent) SELECT randomblob(16), n %% 2, 2, %s,"
        " randomblob(16), 0, 0, 0, 0, 0.5, 0, '', '', '' FROM c",
        count, text);
    pph_error err;
    if (pph_sql_run(sql, statement, &err) != PPH_OK)
        fail_msg("%s", err.message);
}

static found search(pph_sql *sql, const char *text, const pph_memory_filter *filter)
{
    found out = {.count = 0};
    pph_error err;
    if (pph_words_search(sql, pph_str_view(text), filter, &(pph_filter_time){.now = 1}, LIMIT,
                         out.hits, &out.count, &err) != PPH_OK)
        fail_msg("%s: %s", text, err.message);
    for (size_t i = 0; i < out.count; i++) {
        assert_true(out.hits[i].score > 0);
        assert_true(!i || out.hits[i].score <= out.hits[i - 1].score);
    }
    return out;
}

static void in_few_every_word_counts(void **state)
{
    (void)state;
    pph_sql *sql = open_store();
    add(sql, 1, "'The cat sleeps in the hall.'");
    add(sql, 1, "'The key is in the kitchen.'");
    add(sql, 1, "'The key of Anna.'");
    found out = search(sql, "Where is the key of Anna?", NULL);
    assert_int_equal(out.count, 3);
    assert_int_equal(out.hits[0].row, 3);
    assert_int_equal(out.hits[1].row, 2);
    assert_int_equal(out.hits[2].row, 1);
    out = search(sql, "sleeps", NULL); /* as much as a word that no other has, about */
    assert_int_equal(out.count, 1);
    assert_true(out.hits[0].score > 0.7 && out.hits[0].score < 1.3);
    close_store(&sql);
}

/* Would be wrong: that a question's small words outweigh the one that tells. */
static void common_words_do_not_add_up(void **state)
{
    (void)state;
    pph_sql *sql = open_store();
    add(sql, 1, "'violin'");
    add(sql, 300, "'it is of the and in at to ' || n");
    found out = search(sql, "it is of the violin and in at to", NULL);
    assert_int_equal(out.count, LIMIT);
    assert_int_equal(out.hits[0].row, 1);
    assert_true(out.hits[1].score < 0.1);
    close_store(&sql);
}

static void nothing_is_an_operator(void **state)
{
    (void)state;
    static const char *const texts[] = {"NOT \"key", "key* OR", "NEAR(key",
                                        "text:key",  "key AND", "^key"};
    pph_sql *sql = open_store();
    add(sql, 1, "'a key'");
    for (size_t i = 0; i < PPH_COUNT(texts); i++)
        assert_int_equal(search(sql, texts[i], NULL).count, 1);
    assert_int_equal(search(sql, "\"*()^:", NULL).count, 0);
    assert_int_equal(search(sql, "", NULL).count, 0);
    close_store(&sql);
}

/* Where a word is everywhere, it is the others that are looked for; where all are, the latest that have all. */
static void in_many_the_rare_words_count(void **state)
{
    (void)state;
    const int many = PPH_SQL_RANK_ROWS;
    pph_sql *sql = open_store();
    add(sql, 3, "'the violin of Anna'");
    add(sql, many + 10, "'the note of day ' || n");
    add(sql, 1, "'the last'");
    assert_int_equal(search(sql, "the violin", NULL).count, 3);
    found out = search(sql, "the of", NULL);
    assert_int_equal(out.count, LIMIT);
    assert_int_equal(out.hits[0].row, 3 + many + 10);
    assert_int_equal(search(sql, "the", NULL).hits[0].row, 3 + many + 11); /* it is the shortest */
    assert_int_equal(search(sql, "the nowhere", NULL).count, 0);
    const pph_memory_filter filter = {.kinds = 1u << 1};
    out = search(sql, "the of", &filter);
    assert_int_equal(out.count, LIMIT);
    for (size_t i = 0; i < out.count; i++)
        assert_int_equal((out.hits[i].row > 3 ? out.hits[i].row - 3 : out.hits[i].row) % 2, 1);
    close_store(&sql);
}

#ifdef PPH_FAULTS
static void without_memory(void **state)
{
    (void)state;
    pph_sql *sql = open_store();
    add(sql, 3, "'the violin of Anna ' || n");
    for (uint64_t nth = 1;; nth++) {
        found out = {.count = 0};
        pph_mem_fail_at(nth, false);
        pph_status status =
            pph_words_search(sql, pph_str_view("whose violin"), NULL, &(pph_filter_time){.now = 1},
                             LIMIT, out.hits, &out.count, NULL);
        pph_mem_fail_at(0, false);
        if (status == PPH_OK) {
            assert_int_equal(out.count, 3);
            assert_true(nth > 5);
            break;
        }
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
    }
    close_store(&sql);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_few_every_word_counts), cmocka_unit_test(common_words_do_not_add_up),
        cmocka_unit_test(nothing_is_an_operator),   cmocka_unit_test(in_many_the_rare_words_count),
#ifdef PPH_FAULTS
        cmocka_unit_test(without_memory),
#endif
    };
    if (!place_make())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(place_folder);
    return failed;
}
