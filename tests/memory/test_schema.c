/* What a connection is set up to, and which files are taken. That an operation which was told is on disk
 * cannot be shown by killing a process; what makes it so is looked at here. */
#include "memory/schema.h"

#include "base/str.h"
#include "place.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static pph_str ask(pph_sql *sql, const char *text, pph_sql_statement **statement)
{
    bool row;
    assert_int_equal(pph_sql_prepare(sql, text, statement, NULL), PPH_OK);
    assert_int_equal(pph_sql_step(*statement, &row, NULL), PPH_OK);
    assert_true(row);
    return pph_sql_text(*statement, 0);
}

static void is(pph_sql *sql, const char *text, const char *wanted)
{
    pph_sql_statement *statement;
    pph_str said = ask(sql, text, &statement);
    if (!pph_str_equal(said, pph_str_view(wanted)))
        fail_msg("%s is '%.*s', not '%s'", text, (int)said.size, said.data, wanted);
    pph_sql_reset(statement);
}

/* Would be wrong: commits that a machine's end can undo, readers that block a writer, relations without
 * their memories. */
static void a_connection_is_durable(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) { /* a file that is made, and one that is there */
        pph_sql *sql = NULL;
        assert_int_equal(pph_sql_open(&sql, place_path("set"), 1000, NULL), PPH_OK);
        assert_int_equal(pph_schema_prepare(sql, NULL), PPH_OK);
        is(sql, "PRAGMA synchronous", "2");
        is(sql, "PRAGMA journal_mode", "wal");
        is(sql, "PRAGMA foreign_keys", "1");
        pph_sql_close(&sql);
    }
    place_remove_store("set");
}

static void a_later_form_is_refused(void **state)
{
    (void)state;
    pph_error error = {0};
    pph_sql *sql = NULL;
    assert_int_equal(pph_sql_open(&sql, place_path("later"), 1000, NULL), PPH_OK);
    assert_int_equal(pph_schema_prepare(sql, NULL), PPH_OK);
    assert_int_equal(pph_sql_run(sql, "PRAGMA user_version = 1000", NULL), PPH_OK);
    assert_int_equal(pph_schema_prepare(sql, &error), PPH_UNSUPPORTED);
    assert_non_null(strstr(error.message, "made by a later version"));
    assert_int_equal(pph_sql_run(sql, "PRAGMA user_version = 1; PRAGMA application_id = 7", NULL),
                     PPH_OK);
    assert_int_equal(pph_schema_prepare(sql, &error), PPH_CORRUPT);
    assert_non_null(strstr(error.message, "another program"));
    pph_sql_close(&sql);
    place_remove_store("later");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_durable),
        cmocka_unit_test(a_later_form_is_refused),
    };
    if (!place_make())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(place_folder);
    return failed;
}
