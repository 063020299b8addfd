/* The making of steps: by its rules, and by simulation of a model with few pages and many callers. */
#include "base/error.h"
#include "pool/decoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 16, PAGE = 32 };

static pph_decoding make(uint8_t priority, uint64_t order, size_t needed, size_t written)
{
    return (pph_decoding){
        .priority = priority, .order = order, .needed = needed, .written = written};
}

/* Would be wrong: somebody who decodes without a token, a chunk past the budget, the urgent one last. */
static void test_plan(void **unused)
{
    (void)unused;
    pph_decoding a = make(1, 1, 101, 100), b = make(2, 2, 9, 8), c = make(1, 3, 300, 0),
                 d = make(0, 4, 50, 0), e = make(2, 0, 500, 200), f = make(1, 5, 2, 1);
    f.paused = true;
    pph_decoding *const all[] = {&a, &b, &c, &d, &e, &f};
    assert_int_equal(pph_decoding_plan(all, 6, 128), 130);
    assert_int_equal(a.share, 1);
    assert_int_equal(b.share, 1);
    assert_int_equal(e.share, 32); /* the oldest's quarter */
    assert_int_equal(d.share, 50);
    assert_int_equal(c.share, 46);
    assert_int_equal(f.share, 0);
    /* A budget that is not used up is not given out. */
    d.written = d.needed - 1;
    assert_int_equal(pph_decoding_plan(all, 6, 1000), 3 + 300 + 300);
    assert_int_equal(pph_decoding_plan(all, 0, 1000), 0);
    f.parked = true;
    assert_int_equal(pph_decoding_plan(&all[5], 1, 1000), 0);
}

/* Would be wrong: chunks that do not follow what the machine takes for them. */
static void test_pace(void **unused)
{
    (void)unused;
    static const struct {
        pph_nanos step, each;
        size_t alone, beside;
    } machines[] = {{PPH_MILLIS(25), PPH_MILLIS(1), 400, 112},
                    {PPH_MILLIS(120), PPH_MILLIS(28), 16, 16},
                    {PPH_MILLIS(1), 20000, 512, 512},
                    {PPH_MILLIS(500), PPH_MILLIS(200), 16, 16}};
    for (size_t m = 0; m < PPH_COUNT(machines); m++) {
        pph_decoding_pace pace = {0};
        assert_int_equal(pph_decoding_budget(&pace, false), PPH_DECODING_CHUNK_FIRST);
        for (size_t i = 0; i < 40; i++) {
            size_t chunk = pph_decoding_budget(&pace, i % 2), decoded = i % 2 ? 3 : 0;
            pph_nanos took = (decoded ? machines[m].step : 0) +
                             (pph_nanos)chunk * machines[m].each + (pph_nanos)(i % 3) * 1000;
            pph_decoding_ran(&pace, chunk, decoded, took);
            pph_decoding_ran(&pace, 0, 3, machines[m].step);
        }
        size_t alone = pph_decoding_budget(&pace, false), beside = pph_decoding_budget(&pace, true);
        assert_in_range(alone, machines[m].alone - machines[m].alone / 8, machines[m].alone);
        assert_in_range(beside, machines[m].beside - machines[m].beside / 8, machines[m].beside);
    }
}

/* Would be wrong: pages taken from the oldest, or one that has them all and waits for more for ever. */
static void test_victim(void **unused)
{
    (void)unused;
    pph_decoding a = make(1, 1, 101, 100), b = make(1, 2, 9, 8), c = make(0, 3, 30, 20),
                 d = make(1, 4, 50, 0);
    pph_decoding *const all[] = {&a, &b, &c, &d};
    assert_ptr_equal(pph_decoding_victim(all, 4, &a), &b);
    assert_ptr_equal(pph_decoding_victim(all, 4, &d), &d); /* gives way itself */
    assert_ptr_equal(pph_decoding_victim(all, 4, &c), &b);
    a.paused = true; /* it does not run anyway */
    assert_ptr_equal(pph_decoding_victim(all, 4, &d), &a);
    a.paused = false;
    b.parked = true;
    b.written = 0;
    assert_ptr_equal(pph_decoding_victim(all, 4, &c), &a);
    a.parked = true;
    a.written = 0;
    assert_null(pph_decoding_victim(all, 4, &c));
    assert_false(pph_decoding_fits(all, 4, 1, 1000, PAGE)); /* the parked come first */
    assert_ptr_equal(pph_decoding_unpark(all, 4, 1000, PAGE), &a);
    assert_null(pph_decoding_unpark(all, 4, 150, PAGE));
}

typedef struct world {
    pph_decoding one[MOST];
    pph_decoding *running[MOST];
    size_t given[MOST], wanted[MOST]; /* tokens of the prompt, of the answer */
    size_t held[MOST];                /* pages, for what is written or about to be */
    size_t count, pages;
    uint64_t seed, orders;
    size_t ended, failed, parked, steps;
} world;

static size_t draw(world *w, size_t below)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)((w->seed >> 33) % below);
}

static size_t pages_of(size_t tokens)
{
    return (tokens + PAGE - 1) / PAGE;
}

static size_t free_tokens(const world *w)
{
    size_t used = 0;
    for (size_t i = 0; i < w->count; i++)
        used += w->held[w->running[i] - w->one];
    assert_true(used <= w->pages);
    return (w->pages - used) * PAGE;
}

static void admit(world *w, pph_decoding *one)
{
    size_t i = (size_t)(one - w->one);
    w->given[i] = 1 + draw(w, 200);
    w->wanted[i] = 1 + draw(w, 100);
    *one = make((uint8_t)draw(w, 3), ++w->orders, w->given[i], 0);
    w->running[w->count++] = one;
}

static void leave(world *w, pph_decoding *one)
{
    size_t at = 0;
    while (w->running[at] != one)
        at++;
    w->running[at] = w->running[--w->count];
    one->needed = 0;
    w->held[one - w->one] = 0;
}

/* Make room for what the plan gives one; parks others or itself. False when it cannot be run. */
static bool reserve(world *w, pph_decoding *one)
{
    size_t *held = &w->held[one - w->one];
    while (one->share && (pages_of(one->written + one->share) - *held) * PAGE > free_tokens(w)) {
        pph_decoding *victim = pph_decoding_victim(w->running, w->count, one);
        if (!victim) {
            w->failed++;
            leave(w, one);
            return false;
        }
        victim->parked = true;
        victim->written = victim->share = 0;
        w->held[victim - w->one] = 0;
        w->parked++;
    }
    if (one->share)
        *held = pages_of(one->written + one->share);
    return true;
}

static void step(world *w)
{
    for (size_t i = 0; i < MOST; i++)
        if (!w->one[i].needed && pph_decoding_fits(w->running, w->count, 200, free_tokens(w), PAGE))
            admit(w, &w->one[i]);
    for (pph_decoding *back;
         (back = pph_decoding_unpark(w->running, w->count, free_tokens(w), PAGE)) != NULL;)
        back->parked = false;
    size_t total = pph_decoding_plan(w->running, w->count, 64);
    assert_true(!w->count || total > 0);
    for (size_t i = 0; i < w->count;)
        i += reserve(w, w->running[i]);
    for (size_t i = 0; i < w->count; i++) {
        pph_decoding *one = w->running[i];
        one->written += one->share;
        if (one->share && one->written == one->needed)
            one->needed++;
    }
    for (size_t i = 0; i < w->count;) {
        size_t place = (size_t)(w->running[i] - w->one);
        bool ends = w->running[i]->needed > w->given[place] + w->wanted[place] - 1;
        w->ended += ends;
        if (ends)
            leave(w, w->running[i]);
        else
            i++;
    }
    w->steps++;
}

/* Would be wrong: a full cache that stops everybody, or somebody whose turn never comes. */
static void test_few_pages(void **unused)
{
    (void)unused;
    static const size_t pages[] = {10, 12, 20, 40, 1000};
    for (size_t p = 0; p < PPH_COUNT(pages); p++) {
        world w = {.pages = pages[p], .seed = p + 1};
        size_t oldest_for = 0;
        uint64_t oldest = 0;
        while (w.ended < 300) {
            step(&w);
            uint64_t now = UINT64_MAX;
            for (size_t i = 0; i < w.count; i++)
                now = PPH_MIN(now, w.running[i]->order);
            oldest_for = now == oldest ? oldest_for + 1 : 0;
            oldest = now;
            if (oldest_for > 3000)
                fail_msg("%zu pages: number %llu does not end", pages[p],
                         (unsigned long long)oldest);
        }
        /* Ten pages hold the longest there is: nobody fails. */
        assert_int_equal(w.failed, 0);
        if (pages[p] == 1000)
            assert_int_equal(w.parked, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_victim),
        cmocka_unit_test(test_few_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
