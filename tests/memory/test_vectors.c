/* The index of vectors: exact whatever the vectors are, and never ahead of or behind its store. */
#include "memory/vectors.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include "memory/schema.h"
#include "memory/store.h"
#include "place.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { D = 96 };

typedef struct made {
    pph_sql *sql;
    pph_vectors *vectors;
    uint8_t id[16];
} made;

static void check(pph_status status, const pph_error *error)
{
    if (status != PPH_OK)
        fail_msg("%s: %s", pph_status_name(status), error->message);
}

static void open_store(made *out, const char *name, size_t dimensions)
{
    pph_error error = {0};
    int64_t model;
    *out = (made){0};
    check(pph_sql_open(&out->sql, place_path(name), 10000, &error), &error);
    check(pph_schema_prepare(out->sql, &error), &error);
    check(pph_store_id(out->sql, out->id, &error), &error);
    check(pph_store_model(out->sql, "model", dimensions, &model, &error), &error);
    char path[200];
    snprintf(path, sizeof path, "%s-vectors-1", place_path(name));
    check(pph_vectors_open(&out->vectors, path, out->id, model, dimensions, &error), &error);
}

static void close_store(made *store)
{
    pph_vectors_close(&store->vectors);
    pph_sql_close(&store->sql);
}

/* A memory with the vector; its row. */
static int64_t add(made *store, const float *vector, size_t dimensions)
{
    pph_error error = {0};
    char text[32];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)place_draw());
    pph_memory_item item = pph_memory_item_defaults();
    item.text = text;
    pph_store_vector one = {1, PPH_STORE_TEXT, vector, dimensions};
    pph_store_entry entry = {.item = &item, .vectors = &one, .vector_count = 1};
    uint64_t hash = place_draw();
    memcpy(entry.hash, &hash, sizeof hash);
    pph_memory_added added = {0};
    check(pph_store_add(store->sql, &entry, 1000, &added, &error), &error);
    assert_false(added.merged);
    int64_t row;
    check(pph_store_find(store->sql, added.id, &row, &error), &error);
    return row;
}

static void remove_row(made *store, int64_t row)
{
    pph_error error = {0};
    pph_sql_statement *statement;
    check(pph_sql_prepare(store->sql, "DELETE FROM memories WHERE row = ?1", &statement, &error),
          &error);
    pph_sql_bind_integer(statement, 1, row);
    check(pph_sql_do(statement, &error), &error);
}

static void run(made *store, const char *text)
{
    pph_error error = {0};
    check(pph_sql_run(store->sql, text, &error), &error);
}

/* All of the store's vectors in f32, the plain way. */
static size_t brute(made *store, const float *query, size_t dimensions, const int64_t *allowed,
                    size_t allowed_count, pph_vectors_hit *hits, size_t limit)
{
    pph_error error = {0};
    pph_sql_statement *statement;
    size_t count = 0;
    check(pph_sql_prepare(store->sql, "SELECT seq, vector FROM vectors ORDER BY seq", &statement,
                          &error),
          &error);
    for (bool row;;) {
        check(pph_sql_step(statement, &row, &error), &error);
        if (!row)
            return count;
        pph_vectors_hit hit = {pph_sql_integer(statement, 0), 0};
        bool wanted = !allowed;
        for (size_t i = 0; i < allowed_count; i++)
            wanted |= allowed[i] == hit.seq;
        if (!wanted)
            continue;
        float vector[1024];
        memcpy(vector, pph_sql_text(statement, 1).data, dimensions * sizeof(float));
        hit.score = pph_kernels_get()->tensor.dot(vector, query, dimensions);
        size_t at = count;
        while (at && hits[at - 1].score < hit.score)
            at--;
        if (at >= limit)
            continue;
        size_t last = count < limit ? count++ : limit - 1;
        memmove(hits + at + 1, hits + at, (last - at) * sizeof *hits);
        hits[at] = hit;
    }
}

static void same_as_brute(made *store, const float *query, size_t dimensions,
                          const int64_t *allowed, size_t allowed_count, size_t limit,
                          pph_team *team)
{
    pph_error error = {0};
    pph_vectors_hit hits[200], expected[200];
    size_t count;
    int64_t newest;
    check(pph_vectors_follow(store->vectors, store->sql, &error), &error);
    check(pph_vectors_newest(store->vectors, store->sql, &newest, &error), &error);
    const pph_vectors_query asked = {.team = team,
                                     .query = query,
                                     .allowed = allowed,
                                     .allowed_count = allowed_count,
                                     .limit = limit,
                                     .newest = newest};
    check(pph_vectors_search(store->vectors, store->sql, &asked, hits, &count, &error), &error);
    size_t wanted = brute(store, query, dimensions, allowed, allowed_count, expected, limit);
    assert_int_equal(count, wanted);
    for (size_t i = 0; i < count; i++) {
        assert_true(hits[i].score == expected[i].score);
        assert_int_equal(hits[i].seq, expected[i].seq);
    }
}

/* Vectors of every sort: apart, close together, with one long element, all alike, zero. */
static void draw_vector(float *vector, size_t dimensions, int kind)
{
    place_unit(vector, dimensions);
    if (kind == 0)
        return;
    double squares = 0;
    for (size_t i = 0; i < dimensions; i++) {
        if (kind == 1)
            vector[i] = 1 + 0.01f * vector[i];
        else if (kind == 2)
            vector[i] *= i == 3 ? 40 : 1;
        else if (kind == 3)
            vector[i] = 1;
        else
            vector[i] = 0;
        squares += (double)vector[i] * (double)vector[i];
    }
    for (size_t i = 0; squares > 0 && i < dimensions; i++)
        vector[i] /= (float)sqrt(squares);
}

static void search_is_exact(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 7, 64, 65, 384, 1000};
    for (size_t w = 0; w < PPH_COUNT(widths); w++) {
        made store;
        size_t dimensions = widths[w];
        open_store(&store, "exact", dimensions);
        float vector[1024], query[1024];
        run(&store, "BEGIN");
        for (int i = 0; i < 1500; i++) {
            draw_vector(vector, dimensions, i % 17 == 0 ? (int)(place_draw() % 5) : i % 3);
            add(&store, vector, dimensions);
        }
        run(&store, "COMMIT");
        for (int i = 0; i < 12; i++) {
            draw_vector(query, dimensions, i % 3);
            same_as_brute(&store, query, dimensions, NULL, 0, i % 2 ? 10 : 100, NULL);
        }
        const int64_t some[] = {3, 4, 77, 500, 501, 1400, 99999};
        same_as_brute(&store, query, dimensions, some, PPH_COUNT(some), 10, NULL);
        same_as_brute(&store, query, dimensions, some, 0, 10, NULL);
        close_store(&store);
        place_remove_store("exact");
    }
}

static void a_team_finds_the_same(void **state)
{
    (void)state;
    pph_error error = {0};
    pph_team *team = NULL;
    check(pph_team_new(&team, 3, &error), &error);
    made store;
    open_store(&store, "team", 8);
    float vector[8];
    run(&store, "BEGIN");
    for (int i = 0; i < 41000; i++) { /* more than two chunks, and enough to be worth a team */
        place_unit(vector, 8);
        add(&store, vector, 8);
    }
    run(&store, "COMMIT");
    for (int i = 0; i < 5; i++) {
        place_unit(vector, 8);
        same_as_brute(&store, vector, 8, NULL, 0, 25, team);
    }
    close_store(&store);
    place_remove_store("team");
    pph_team_free(&team);
}

static void deletions_are_followed(void **state)
{
    (void)state;
    made store;
    open_store(&store, "gone", D);
    float vector[D], query[D];
    int64_t rows[3000];
    for (int i = 0; i < 3000; i++) {
        place_unit(vector, D);
        if (i % 500 == 0)
            run(&store, "BEGIN");
        rows[i] = add(&store, vector, D);
        if (i % 500 == 499)
            run(&store, "COMMIT");
    }
    place_unit(query, D);
    same_as_brute(&store, query, D, NULL, 0, 20, NULL);
    for (int round = 0; round < 6; round++) {
        run(&store, "BEGIN");
        for (int i = 0; i < 400; i++)
            remove_row(&store, rows[round * 400 + i]);
        place_unit(vector, D);
        int64_t last = add(&store, vector, D);
        run(&store, "COMMIT");
        same_as_brute(&store, query, D, NULL, 0, 20, NULL);
        remove_row(&store, last); /* the newest of all is gone as well */
        same_as_brute(&store, query, D, NULL, 0, 20, NULL);
        assert_int_equal(pph_vectors_count(store.vectors), 3000 - (round + 1) * 400);
    }
    close_store(&store);
    open_store(&store, "gone", D);
    same_as_brute(&store, query, D, NULL, 0, 20, NULL);
    close_store(&store);
    place_remove_store("gone");
}

static void overwrite(const char *path, long at, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    fwrite(bytes, 1, size, file);
    fclose(file);
}

/* Whatever became of the index while nobody looked, the answers are right again. */
static void a_damaged_index_is_made_anew(void **state)
{
    (void)state;
    float vector[D], query[D];
    place_unit(query, D);
    char path[200];
    snprintf(path, sizeof path, "%s-vectors-1", place_path("damage"));
    static const uint64_t lie = 1u << 30;
    for (int kind = 0; kind < 6; kind++) {
        made store;
        open_store(&store, "damage", D);
        for (int i = 0; i < 300; i++) {
            place_unit(vector, D);
            add(&store, vector, D);
        }
        same_as_brute(&store, query, D, NULL, 0, 10, NULL);
        close_store(&store);
        if (kind == 0)
            unlink(path);
        else if (kind == 1)
            assert_int_equal(truncate(path, 5000), 0); /* shorter than it says */
        else if (kind == 2)
            assert_int_equal(truncate(path, 10), 0);
        else if (kind == 3)
            overwrite(path, 0, "NOTOURS", 8);
        else if (kind == 4)
            overwrite(path, 56, &lie, sizeof lie); /* its count */
        else
            overwrite(path, 24, "another store's.", 16);
        open_store(&store, "damage", D);
        same_as_brute(&store, query, D, NULL, 0, 10, NULL);
        uint64_t problems = 0;
        char problem[200] = "";
        pph_error error = {0};
        check(pph_vectors_verify(store.vectors, store.sql, &problems, problem, sizeof problem,
                                 &error),
              &error);
        assert_int_equal(problems, 0);
        close_store(&store);
        place_remove_store("damage");
    }
}

static void verify_sees_a_difference(void **state)
{
    (void)state;
    made store;
    pph_error error = {0};
    open_store(&store, "verify", D);
    float vector[D];
    for (int i = 0; i < 50; i++) {
        place_unit(vector, D);
        add(&store, vector, D);
    }
    check(pph_vectors_follow(store.vectors, store.sql, &error), &error);
    uint64_t problems = 0;
    char problem[200] = "";
    check(pph_vectors_verify(store.vectors, store.sql, &problems, problem, sizeof problem, &error),
          &error);
    assert_int_equal(problems, 0);
    char path[200];
    snprintf(path, sizeof path, "%s-vectors-1", place_path("verify"));
    overwrite(path, 4096 + 10 * 128 + 5, "\x07", 1); /* a byte of the eleventh vector */
    check(pph_vectors_verify(store.vectors, store.sql, &problems, problem, sizeof problem, &error),
          &error);
    assert_int_equal(problems, 1);
    assert_non_null(strstr(problem, "vector 11 differs"));
    close_store(&store);
    place_remove_store("verify");
}

/* The store is put back to an earlier copy: an index that knows more must not answer for it. */
static void a_store_put_back(void **state)
{
    (void)state;
    made store;
    float vector[D], query[D];
    char command[600];
    open_store(&store, "back", D);
    for (int i = 0; i < 100; i++) {
        place_unit(vector, D);
        add(&store, vector, D);
    }
    run(&store, "PRAGMA wal_checkpoint(TRUNCATE)");
    snprintf(command, sizeof command, "cp %s %s", place_path("back"), place_path("copy"));
    assert_int_equal(system(command), 0);
    for (int i = 0; i < 100; i++) {
        place_unit(vector, D);
        add(&store, vector, D);
    }
    place_unit(query, D);
    same_as_brute(&store, query, D, NULL, 0, 10, NULL);
    run(&store, "PRAGMA wal_checkpoint(TRUNCATE)");
    close_store(&store);
    snprintf(command, sizeof command, "cp %s %s", place_path("copy"), place_path("back"));
    assert_int_equal(system(command), 0);
    open_store(&store, "back", D);
    same_as_brute(&store, query, D, NULL, 0, 10, NULL);
    close_store(&store);
    place_remove_store("back");
    place_remove_store("copy");
}

/* A child that adds, deletes and searches until it is killed. */
static void work_until_killed(const char *name, int number)
{
    made store;
    place_seed ^= (uint64_t)number * 0x9E3779B97F4A7C15u;
    open_store(&store, name, D);
    float vector[D];
    for (int i = 0;; i++) {
        place_unit(vector, D);
        int64_t row = add(&store, vector, D);
        if (i % 5 == 0)
            remove_row(&store, row);
        if (i % 3 == 0) {
            pph_error error = {0};
            check(pph_vectors_follow(store.vectors, store.sql, &error), &error);
        }
    }
}

/* Three processes at once, each killed wherever it is: the index serves the fourth as before. */
static void killed_processes_leave_it_whole(void **state)
{
    (void)state;
    made store;
    float query[D];
    open_store(&store, "killed", D);
    close_store(&store);
    for (int round = 0; round < 8; round++) {
        pid_t children[3];
        for (int i = 0; i < 3; i++) {
            children[i] = fork();
            if (!children[i]) {
                work_until_killed("killed", round * 3 + i);
                _exit(1);
            }
        }
        usleep(20000 + (unsigned)(place_draw() % 60000));
        for (int i = 0; i < 3; i++) {
            int status;
            kill(children[i], SIGKILL);
            waitpid(children[i], &status, 0);
            assert_true(WIFSIGNALED(status));
        }
        open_store(&store, "killed", D);
        place_unit(query, D);
        same_as_brute(&store, query, D, NULL, 0, 10, NULL);
        uint64_t problems = 0;
        char problem[200] = "";
        pph_error error = {0};
        check(pph_vectors_verify(store.vectors, store.sql, &problems, problem, sizeof problem,
                                 &error),
              &error);
        if (problems)
            fail_msg("%s", problem);
        close_store(&store);
    }
    place_remove_store("killed");
}

#ifdef PPH_FAULTS
static void no_memory_is_an_answer(void **state)
{
    (void)state;
    made store;
    float vector[D];
    open_store(&store, "memory", D);
    for (int i = 0; i < 100; i++) {
        place_unit(vector, D);
        add(&store, vector, D);
    }
    pph_vectors_hit hits[10];
    size_t count;
    uint64_t nth = 1;
    for (pph_status status = PPH_OUT_OF_MEMORY; status != PPH_OK; nth++) {
        pph_error error = {0};
        int64_t newest = 0;
        pph_mem_fail_at(nth, false);
        status = pph_vectors_follow(store.vectors, store.sql, &error);
        if (status == PPH_OK)
            status = pph_vectors_newest(store.vectors, store.sql, &newest, &error);
        const pph_vectors_query asked = {.query = vector, .limit = 10, .newest = newest};
        if (status == PPH_OK)
            status = pph_vectors_search(store.vectors, store.sql, &asked, hits, &count, &error);
        pph_mem_fail_at(0, false);
        if (status != PPH_OK)
            assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_true(nth < 10000);
    }
    same_as_brute(&store, vector, D, NULL, 0, 10, NULL);
    close_store(&store);
    place_remove_store("memory");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search_is_exact),
        cmocka_unit_test(a_team_finds_the_same),
        cmocka_unit_test(deletions_are_followed),
        cmocka_unit_test(a_damaged_index_is_made_anew),
        cmocka_unit_test(verify_sees_a_difference),
        cmocka_unit_test(a_store_put_back),
        cmocka_unit_test(killed_processes_leave_it_whole),
#ifdef PPH_FAULTS
        cmocka_unit_test(no_memory_is_an_answer),
#endif
    };
    if (!place_make())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(place_folder);
    return failed;
}
