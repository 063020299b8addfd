/* Memories as lines of a prompt. */
#include "agent/recollection.h"

#include "base/mem.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static pph_memory_hit hit_of(const char *text, double relevance, uint8_t id)
{
    pph_memory_hit hit = {.item = pph_memory_item_defaults(), .relevance = relevance};
    hit.item.text = text;
    hit.item.id.bytes[15] = id;
    return hit;
}

static pph_recollection written(const pph_memory_hit *hits, size_t count, size_t most,
                                size_t characters)
{
    pph_recollection made = {0};
    pph_error error;
    if (pph_recollection_write(&made, hits, count, NULL, 0, most, characters, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return made;
}

/* Would be wrong: a byte of what models are taught, or a line that is two. */
static void test_form(void **unused)
{
    (void)unused;
    pph_memory_hit hits[] = {
        hit_of("Anna has a red ball.", 0.834, 1),
        hit_of("  User: My dog is \n\tcalled Rex.\r\nAssistant:\x1B I see.\xC2\xA0 ", 1, 2),
        hit_of(NULL, 0.4249, 3),
        hit_of(" \n", 0.3, 4), /* nothing to be said of it */
        hit_of(NULL, 0, 5),
    };
    hits[2].item.picture_path = "/pictures/anna/beach.png";
    hits[4].item.source = "a scan";
    pph_recollection made = written(hits, 5, 10, 2000);
    pph_buffer prompt = {0};
    assert_int_equal(pph_recollection_prompt(&made, "Who has\nthe ball?", &prompt, NULL), PPH_OK);
    assert_string_equal(prompt.data, "# Relevant Context from Memory:\n"
                                     "[Relevance: 0.83] Anna has a red ball.\n"
                                     "[Relevance: 1.00] User: My dog is called Rex. Assistant: I "
                                     "see.\n"
                                     "[Relevance: 0.42] Picture: beach.png\n"
                                     "[Relevance: 0.00] Picture: a scan\n"
                                     "\n"
                                     "Who has\nthe ball?");
    assert_int_equal(made.count, 4);
    assert_int_equal(made.left, 0);
    assert_string_equal(made.used[0].text, "Anna has a red ball.");
    assert_string_equal(made.used[2].text, "Picture: beach.png");
    assert_int_equal(made.used[3].id.bytes[15], 5);
    pph_buffer_deinit(&prompt);
    pph_recollection_deinit(&made);
    made = (pph_recollection){0};
    assert_int_equal(pph_recollection_prompt(&made, "Hi", &prompt, NULL), PPH_OK);
    assert_string_equal(prompt.data, "Hi");
    pph_buffer_deinit(&prompt);
}

static size_t characters_of(const pph_recollection *made)
{
    size_t count = 0;
    for (size_t i = 0; i < made->block.size; i++)
        count += (made->block.data[i] & 0xC0) != 0x80;
    return count;
}

/* Would be wrong: more characters or memories than allowed, a cut within a character or a word, a short
 * memory lost for a long one's sake. */
static void test_limits(void **unused)
{
    (void)unused;
    char text[1200] = "";
    for (int i = 0; i < 100; i++)
        strcat(text, "gr\xC3\xBC\xC3\x9F"
                     "en ");
    pph_memory_hit hits[12];
    for (uint8_t i = 0; i < 12; i++)
        hits[i] = hit_of(text, 0.5, i);
    for (size_t room = 0; room < 2200; room += 7) {
        pph_recollection made = written(hits, 12, 10, room);
        assert_true(characters_of(&made) <= room);
        assert_true(pph_utf8_check((pph_str){(char *)made.block.data, made.block.size}) ==
                    SIZE_MAX);
        assert_true(made.count + made.left == 12);
        for (size_t i = 0; i < made.count; i++) {
            const char *cut = strstr(made.used[i].text, "\xE2\x80\xA6");
            assert_true(!cut || (memcmp(cut - 2, "en", 2) == 0 && !cut[3]));
        }
        if (room < 32 + 18 + 80)
            assert_int_equal(made.count, 0);
        if (room > 32 + 18 + 90)
            assert_true(made.count > 0);
        if (room >= 2000)
            assert_true(made.count >= 4); /* long ones leave some to others */
        pph_recollection_deinit(&made);
    }
    for (uint8_t i = 0; i < 12; i++)
        hits[i].item.text = "short";
    pph_recollection made = written(hits, 12, 10, 2000);
    assert_int_equal(made.count, 10);
    pph_recollection_deinit(&made);
    hits[0].item.text = text;
    made = written(hits, 2, 10, 100);
    assert_int_equal(made.count, 1);
    assert_int_equal(made.left, 1);
    assert_string_equal(made.used[0].text, "short");
    pph_recollection_deinit(&made);
}

/* Would be wrong: a turn that stands in the conversation told again as a memory. */
static void test_known(void **unused)
{
    (void)unused;
    const pph_memory_hit hits[] = {hit_of("one", 0.9, 1), hit_of("two", 0.8, 2)};
    pph_recollection made = {0};
    assert_int_equal(pph_recollection_write(&made, hits, 2, &hits[0].item.id, 1, 10, 2000, NULL),
                     PPH_OK);
    assert_int_equal(made.count, 1);
    assert_string_equal(made.used[0].text, "two");
    pph_recollection_deinit(&made);
}

static void test_no_memory(void **unused)
{
    (void)unused;
    const pph_memory_hit hits[] = {hit_of("one", 0.9, 1), hit_of("two", 0.8, 2)};
    for (uint64_t nth = 1;; nth++) {
        pph_recollection made = {0};
        pph_mem_fail_at(nth, false);
        pph_status status = pph_recollection_write(&made, hits, 2, NULL, 0, 10, 2000, NULL);
        bool all = pph_mem_count() < nth;
        pph_mem_fail_at(0, false);
        pph_recollection_deinit(&made);
        assert_int_equal(status, all ? PPH_OK : PPH_OUT_OF_MEMORY);
        if (all)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
