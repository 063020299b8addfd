/* The log: what a level lets through, the sink, and that no message can forge a second line. */
#include "base/log.h"

#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct heard {
    int lines;
    pph_log_level level;
    char last[4096];
} heard;

static void listen_to(pph_log_level level, const char *line, void *context)
{
    heard *h = context;
    h->lines++;
    h->level = level;
    snprintf(h->last, sizeof h->last, "%s", line);
}

static int quiet(void **state)
{
    (void)state;
    pph_log_set_sink(NULL, NULL);
    pph_log_set_level(PPH_LOG_WARN);
    return 0;
}

static void a_level_lets_through_what_is_as_grave(void **state)
{
    (void)state;
    heard h = {0};
    pph_log_set_sink(listen_to, &h);
    for (int level = PPH_LOG_OFF; level <= PPH_LOG_DEBUG; level++) {
        pph_log_set_level((pph_log_level)level);
        for (int message = PPH_LOG_OFF; message <= PPH_LOG_DEBUG; message++) {
            h.lines = 0;
            pph_log((pph_log_level)message, "m%d", message);
            assert_int_equal(h.lines, message != PPH_LOG_OFF && message <= level);
            if (h.lines)
                assert_int_equal(h.level, message);
        }
    }
}

static void warnings_are_the_default(void **state)
{
    (void)state;
    heard h = {0};
    pph_log_set_sink(listen_to, &h);
    pph_log(PPH_LOG_INFO, "no");
    assert_int_equal(h.lines, 0);
    pph_log(PPH_LOG_WARN, "%s and %d", "yes", 1);
    assert_int_equal(h.lines, 1);
    assert_string_equal(h.last, "yes and 1");
}

static void a_message_is_one_line(void **state)
{
    (void)state;
    heard h = {0};
    pph_log_set_sink(listen_to, &h);
    pph_log(PPH_LOG_ERROR, "%s", "a\nerror: forged\r\x1b[2Jb\x7f\tc \xC3\xA9");
    assert_int_equal(h.lines, 1);
    for (const char *c = h.last; *c; c++)
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
    assert_non_null(strstr(h.last, "\xC3\xA9"));
    assert_non_null(strstr(h.last, "error: forged"));
}

static void a_long_message_is_cut(void **state)
{
    (void)state;
    heard h = {0};
    pph_log_set_sink(listen_to, &h);
    pph_log(PPH_LOG_ERROR, "%5000d", 1);
    assert_int_equal(h.lines, 1);
    assert_true(strlen(h.last) > 500 && strlen(h.last) < 2000);
}

static void levels_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"off", "error", "warn", "info", "debug"};
    pph_log_level level;
    pph_error err;
    for (size_t i = 0; i < PPH_COUNT(names); i++) {
        assert_int_equal(pph_log_parse_level(names[i], &level, NULL), PPH_OK);
        assert_int_equal(level, i);
    }
    assert_fails(pph_log_parse_level("loud", &level, &err), PPH_INVALID_ARGUMENT, err, "'loud'");
    assert_fails(pph_log_parse_level("", &level, &err), PPH_INVALID_ARGUMENT, err, "debug");
}

static void without_a_sink_it_goes_to_stderr(void **state)
{
    (void)state;
    char path[] = "/tmp/paraphym-log-XXXXXX", text[200] = "";
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(file >= 0 && before >= 0);
    unlink(path);
    fflush(stderr);
    dup2(file, STDERR_FILENO);
    pph_log(PPH_LOG_WARN, "disk %d%% full", 90);
    pph_log(PPH_LOG_DEBUG, "not this");
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t size = pread(file, text, sizeof text - 1, 0);
    close(file);
    assert_true(size > 0);
    assert_string_equal(text, "paraphym: warn: disk 90% full\n");
}

static void *chatter(void *argument)
{
    for (int i = 0; i < 500; i++)
        pph_log(PPH_LOG_ERROR, "%s", (const char *)argument);
    return NULL;
}

/* Lines of several threads are never mixed. */
static void lines_stay_whole(void **state)
{
    (void)state;
    char path[] = "/tmp/paraphym-log-XXXXXX";
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(file >= 0 && before >= 0);
    unlink(path);
    dup2(file, STDERR_FILENO);
    pthread_t threads[4];
    static char texts[4][32] = {"aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbb", "cccccccccccccccc",
                                "d"};
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, chatter, texts[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    lseek(file, 0, SEEK_SET);
    FILE *lines = fdopen(file, "r");
    char line[200], wanted[200];
    int count = 0;
    while (fgets(line, sizeof line, lines)) {
        bool whole = false;
        for (int i = 0; i < 4; i++) {
            snprintf(wanted, sizeof wanted, "paraphym: error: %s\n", texts[i]);
            whole |= strcmp(line, wanted) == 0;
        }
        if (!whole)
            fail_msg("mixed: %s", line);
        count++;
    }
    fclose(lines);
    assert_int_equal(count, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_level_lets_through_what_is_as_grave, quiet),
        cmocka_unit_test_setup(warnings_are_the_default, quiet),
        cmocka_unit_test_setup(a_message_is_one_line, quiet),
        cmocka_unit_test_setup(a_long_message_is_cut, quiet),
        cmocka_unit_test_setup(levels_have_names, quiet),
        cmocka_unit_test_setup(without_a_sink_it_goes_to_stderr, quiet),
        cmocka_unit_test_setup(lines_stay_whole, quiet),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
