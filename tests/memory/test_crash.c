/* Processes that are killed wherever they are: what they were told is stored is there afterwards, what
 * they were told is gone is gone, and the store is whole. Two processes at once fail at nothing.
 *
 * The process that is killed is this program anew, as `test_crash work NAME SEED`: it writes a line for
 * each answer it has had. PPH_CRASHES says how often one is killed (40), PPH_TOGETHER_S for how many seconds
 * two work at once (else for 150 rounds each). */
#include "base/clock.h"
#include "opened.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static const char *program;

static void say(char what, pph_memory_id id)
{
    char text[64], name[PPH_MEMORY_ID_TEXT];
    int size = snprintf(text, sizeof text, "%c %s\n", what, pph_memory_id_print(id, name));
    if (write(1, text, (size_t)size) != size)
        _exit(3);
}

static pph_memory_item drawn(char text[96], char picture[32])
{
    pph_memory_item item = pph_memory_item_defaults();
    snprintf(text, 96, "memory of %llx and %llu", (unsigned long long)place_draw(),
             (unsigned long long)(place_draw() % 50));
    snprintf(picture, 32, "%llx", (unsigned long long)place_draw());
    item.text = text;
    if (place_draw() % 4 == 0) {
        item.picture = picture;
        item.picture_size = strlen(picture);
    }
    return item;
}

/* Adds, adds of many, updates, deletes, relations, searches, in turns; never ends by itself unless
 * `rounds` says so: so many, or, where it is negative, so many seconds; 0: for ever. */
static int work(const char *path, uint64_t seed, int rounds)
{
    pph_error error = {0};
    place_seed = seed * 0x9E3779B97F4A7C15u | 1;
    const pph_memory_embedder embedders[] = {{"fake", true, true, fake_embed, &fake}};
    pph_memory_options options = pph_memory_defaults();
    options.embedders = embedders;
    options.embedder_count = 1;
    pph_memory *memory = NULL;
    if (pph_memory_open(&memory, path, &options, &error) != PPH_OK)
        goto failed;
    pph_memory_id last = {{0}}, before = {{0}};
    pph_nanos end = rounds < 0 ? pph_clock_after(PPH_SECONDS(-(int64_t)rounds)) : PPH_FOREVER;
    if (!rounds)
        rounds = -1; /* for ever */
    for (int round = 0; round != rounds && pph_clock_now() < end; round++) {
        char text[8][96], picture[8][32];
        pph_memory_item items[8];
        size_t count = round % 3 ? 1 : 8;
        for (size_t i = 0; i < count; i++)
            items[i] = drawn(text[i], picture[i]);
        pph_future *future = pph_memory_add_many(memory, items, count);
        if (pph_block_on(future, &error) != PPH_OK)
            goto failed;
        const pph_memory_additions *added = pph_future_value(future);
        for (size_t i = 0; i < count; i++)
            say('+', added->items[i].id);
        before = last;
        last = added->items[0].id;
        pph_future_free(&future);
        if (round % 5 == 4) {
            say('?', last); /* may be gone from here on */
            future = pph_memory_delete(memory, last);
            if (pph_block_on(future, &error) != PPH_OK)
                goto failed;
            say('-', last);
            pph_future_free(&future);
            last = before;
        }
        if (round % 2 && before.bytes[0] && memcmp(&last, &before, sizeof last) != 0) {
            future = pph_memory_relate(memory, last, before, "follows", 0.5);
            if (pph_block_on(future, &error) != PPH_OK && error.status != PPH_NOT_FOUND)
                goto failed;
            pph_future_free(&future);
        }
        future = pph_memory_search(memory, &(pph_memory_query){.text = text[0]});
        if (pph_block_on(future, &error) != PPH_OK)
            goto failed;
        pph_future_free(&future);
    }
    pph_memory_close(&memory);
    return 0;
failed:
    fprintf(stderr, "%s: %s\n", pph_status_name(error.status), error.message);
    return 1;
}

static pid_t start(const char *path, uint64_t seed, int rounds, int *answers)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (!child) {
        char number[32], count[32];
        snprintf(number, sizeof number, "%llu", (unsigned long long)seed);
        snprintf(count, sizeof count, "%d", rounds);
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, "work", path, number, count, (char *)NULL);
        _exit(4);
    }
    close(ends[1]);
    *answers = ends[0];
    return child;
}

/* All that a process has said, up to its end. A last line that was cut short was not yet said. */
static char *hear(int answers)
{
    size_t size = 0, room = 1 << 16;
    char *text = malloc(room);
    assert_non_null(text);
    for (ssize_t got; (got = read(answers, text + size, room - size - 1)) > 0;) {
        size += (size_t)got;
        if (room - size < 4096) {
            room *= 2;
            text = realloc(text, room);
            assert_non_null(text);
        }
    }
    close(answers);
    while (size && text[size - 1] != '\n')
        size--;
    text[size] = 0;
    return text;
}

static bool there(pph_memory *memory, const char *name)
{
    pph_memory_id id;
    assert_int_equal(pph_memory_id_parse(&id, name, NULL), PPH_OK);
    pph_future *future = pph_memory_get(memory, id);
    pph_status status = pph_block_on(future, NULL);
    pph_future_free(&future);
    assert_true(status == PPH_OK || status == PPH_NOT_FOUND);
    return status == PPH_OK;
}

static void hold_to_its_word(pph_memory *memory, const char *said)
{
    char name[PPH_MEMORY_ID_TEXT];
    for (const char *line = said; *line; line = strchr(line, '\n') + 1) {
        memcpy(name, line + 2, PPH_MEMORY_ID_TEXT - 1);
        name[PPH_MEMORY_ID_TEXT - 1] = 0;
        if (line[0] == '-')
            assert_false(there(memory, name));
        char doubt[48];
        snprintf(doubt, sizeof doubt, "? %s", name);
        if (line[0] == '+' && !strstr(said, doubt) && !there(memory, name))
            fail_msg("%s was stored, and is lost", name);
    }
}

static void what_was_told_is_so_after_a_kill(void **state)
{
    (void)state;
    const char *wish = getenv("PPH_CRASHES");
    int crashes = wish ? atoi(wish) : 40;
    char path[160];
    snprintf(path, sizeof path, "%s", place_path("crash"));
    for (int i = 0; i < crashes; i++) {
        int answers;
        pid_t child = start(path, (uint64_t)i + 1, 0, &answers);
        usleep(5000 + (unsigned)(place_draw() % 120000));
        kill(child, SIGKILL);
        char *said = hear(answers);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        pph_memory *memory = opened("crash");
        hold_to_its_word(memory, said);
        if (i % 8 == 7 || i == crashes - 1)
            is_whole(memory);
        pph_memory_close(&memory);
        free(said);
    }
    place_remove_store("crash");
}

static void *hear_beside(void *answers)
{
    return hear(*(int *)answers);
}

static void two_processes_at_once_fail_at_nothing(void **state)
{
    (void)state;
    char path[160];
    const char *seconds = getenv("PPH_TOGETHER_S");
    int rounds = seconds ? -atoi(seconds) : 150;
    snprintf(path, sizeof path, "%s", place_path("two"));
    int answers[2];
    pid_t children[2];
    for (int i = 0; i < 2; i++)
        children[i] = start(path, (uint64_t)i + 1000, rounds, &answers[i]);
    char *said[2];
    pthread_t other;
    void *heard;
    assert_int_equal(pthread_create(&other, NULL, hear_beside, &answers[1]), 0);
    said[0] = hear(answers[0]);
    pthread_join(other, &heard);
    said[1] = heard;
    for (int i = 0; i < 2; i++) {
        int status;
        waitpid(children[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    pph_memory *memory = opened("two");
    for (int i = 0; i < 2; i++) {
        hold_to_its_word(memory, said[i]);
        free(said[i]);
    }
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("two");
}

/* All of them find no file and make it, at the same moment. */
static void several_make_one_store(void **state)
{
    (void)state;
    enum { AT_ONCE = 4 };
    char path[160];
    snprintf(path, sizeof path, "%s", place_path("new"));
    for (int round = 0; round < 25; round++) {
        int answers[AT_ONCE];
        pid_t children[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++)
            children[i] = start(path, (uint64_t)(5000 + round * AT_ONCE + i), 2, &answers[i]);
        for (int i = 0; i < AT_ONCE; i++) {
            int status;
            free(hear(answers[i]));
            waitpid(children[i], &status, 0);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        pph_memory *memory = opened("new");
        is_whole(memory);
        pph_memory_close(&memory);
        place_remove_store("new");
    }
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 5)
        return work(argv[2], strtoull(argv[3], NULL, 10), atoi(argv[4]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_told_is_so_after_a_kill),
        cmocka_unit_test(two_processes_at_once_fail_at_nothing),
        cmocka_unit_test(several_make_one_store),
    };
    if (!place_make())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(place_folder);
    return failed;
}
