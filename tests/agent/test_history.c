/* What was said, and what of it has to go. */
#include "agent/history.h"

#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static pph_exchange *exchange_of(const char *text, const char *answer)
{
    pph_exchange *made = NULL;
    assert_int_equal(pph_exchange_new(&made, text, NULL, 0, NULL), PPH_OK);
    made->answer = pph_alloc(strlen(answer) + 1);
    memcpy(made->answer, answer, strlen(answer));
    return made;
}

/* Would be wrong: too few to become shorter by a quarter, more than that needs, or none. */
static void test_surplus(void **unused)
{
    (void)unused;
    pph_exchange *items[4];
    for (size_t i = 0; i < 4; i++)
        items[i] = exchange_of("12345", "67890"); /* 10 bytes each */
    assert_int_equal(pph_history_surplus(items, 4, 0), 1);
    assert_int_equal(pph_history_surplus(items, 4, 10), 2);
    assert_int_equal(pph_history_surplus(items, 4, 1000), 4);
    assert_int_equal(pph_history_surplus(items, 1, 0), 1);
    assert_int_equal(pph_history_surplus(items, 0, 5), 0);
    items[0]->picture_count = 1; /* which alone is more than a quarter */
    assert_int_equal(pph_history_surplus(items, 4, 100), 1);
    items[0]->picture_count = 0;
    for (size_t i = 0; i < 4; i++)
        pph_exchange_unref(&items[i]);
}

/* Would be wrong: an order that changes, a bound that does not hold, an exchange freed under a turn that
 * has it. */
static void test_list(void **unused)
{
    (void)unused;
    pph_history history;
    pph_history_init(&history);
    char text[16];
    for (int i = 0; i < PPH_HISTORY_MOST + 3; i++) {
        snprintf(text, sizeof text, "%d", i);
        pph_history_add(&history, exchange_of(text, "yes"));
    }
    assert_int_equal(history.count, PPH_HISTORY_MOST);
    pph_history_view view;
    assert_int_equal(pph_history_look(&history, &view, NULL), PPH_OK);
    assert_int_equal(view.count, PPH_HISTORY_MOST);
    assert_string_equal(view.items[0]->text, "3");
    pph_history_drop_before(&history, view.items[PPH_HISTORY_MOST - 2]);
    assert_int_equal(history.count, 2);
    pph_history_drop_before(&history, NULL);
    assert_int_equal(history.count, 0);
    pph_history_add(&history, exchange_of("new", "yes"));
    assert_string_equal(history.first->text, "new");
    pph_message *messages;
    size_t count;
    assert_int_equal(
        pph_history_messages("be brief", view.items, 2, "now", NULL, 0, &messages, &count, NULL),
        PPH_OK);
    static const char *const wanted[] = {"be brief", "3", "yes", "4", "yes", "now"};
    static const pph_role roles[] = {PPH_ROLE_SYSTEM, PPH_ROLE_USER,      PPH_ROLE_ASSISTANT,
                                     PPH_ROLE_USER,   PPH_ROLE_ASSISTANT, PPH_ROLE_USER};
    assert_int_equal(count, 6);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(messages[i].text, wanted[i]);
        assert_int_equal(messages[i].role, roles[i]);
    }
    pph_free(messages);
    pph_history_view_deinit(&view);
    pph_history_drop_before(&history, NULL);
}

/* Would be wrong: a history that no model could be given, or a picture that points to what was the caller's. */
static void test_load(void **unused)
{
    (void)unused;
    char bytes[] = "a picture";
    const pph_input picture = pph_input_bytes(bytes, strlen(bytes));
    const pph_message messages[] = {
        {.role = PPH_ROLE_USER, .text = "look", .pictures = &picture, .picture_count = 1},
        {.role = PPH_ROLE_ASSISTANT, .text = "a dog"},
        {.role = PPH_ROLE_USER, .text = "sure?"},
        {.role = PPH_ROLE_ASSISTANT, .text = "yes"},
    };
    pph_history history;
    pph_history_init(&history);
    assert_int_equal(pph_history_load(&history, messages, 4, NULL), PPH_OK);
    memset(bytes, 'x', strlen(bytes));
    assert_int_equal(history.count, 2);
    assert_memory_equal(history.first->pictures[0].data, "a picture", 9);
    assert_string_equal(history.first->next->answer, "yes");
    pph_history_drop_before(&history, NULL);
    pph_error error;
    assert_int_equal(pph_history_load(&history, messages, 3, &error), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_history_load(&history, messages + 1, 2, &error), PPH_INVALID_ARGUMENT);
    const pph_input none = {PPH_INPUT_TEXT, "x", 1};
    const pph_message bad[] = {
        {.role = PPH_ROLE_USER, .text = "look", .pictures = &none, .picture_count = 1},
        {.role = PPH_ROLE_ASSISTANT, .text = "a dog"},
    };
    assert_int_equal(pph_history_load(&history, bad, 2, &error), PPH_INVALID_ARGUMENT);
    pph_history_drop_before(&history, NULL);
    for (uint64_t nth = 1;; nth++) {
        pph_mem_fail_at(nth, false);
        pph_status status = pph_history_load(&history, messages, 4, NULL);
        bool all = pph_mem_count() < nth;
        pph_mem_fail_at(0, false);
        pph_history_drop_before(&history, NULL);
        assert_int_equal(status, all ? PPH_OK : PPH_OUT_OF_MEMORY);
        if (all)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_surplus),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
