/* The cache of keys and values against a simple model: sequences that are extended, forked, cut and
 * begun with what others left, at random, under limits from tight to wide; every token of every
 * sequence must read back as what belongs to the tokens before it. Sharing, copying, evicting, limits
 * and failing memory one by one. */
#include "model/kv_cache.h"

#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LAYERS = 2, LONGEST = 300, SEQUENCES = 6, PAST = 4000 };

static const pph_kv_layout layout = {PPH_F32, 1, 1};

/* What the model knows of a sequence: its keys. */
typedef struct known {
    pph_kv_sequence *sequence;
    uint64_t keys[LONGEST];
    size_t length;
} known;

static uint64_t seed;

static size_t draw(size_t below)
{
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    return (size_t)(seed >> 33) % below;
}

/* What is written for a token: of all keys up to it, so that a page of another prefix shows. */
static float value_of(const uint64_t *keys, size_t at, size_t layer)
{
    uint64_t hash = layer + 1;
    for (size_t i = 0; i <= at; i++)
        hash = (hash ^ keys[i]) * 0x9E3779B97F4A7C15U;
    return (float)(hash >> 44);
}

static void write_tokens(known *k, size_t from, size_t count)
{
    for (size_t layer = 0; layer < LAYERS; layer++) {
        void *const *pages = pph_kv_sequence_pages(k->sequence, layer);
        for (size_t i = from; i < from + count; i++) {
            float key = value_of(k->keys, i, layer), value = -key;
            pph_kv_store(&layout, pages[i / PPH_KV_TOKENS], i % PPH_KV_TOKENS, 1, 0, 1,
                         (pph_rows){&key, PPH_F32, NULL, 1}, (pph_rows){&value, PPH_F32, NULL, 1});
        }
    }
}

static void verify(const known *k)
{
    assert_int_equal(pph_kv_sequence_length(k->sequence), k->length);
    for (size_t layer = 0; layer < LAYERS; layer++) {
        void *const *pages = pph_kv_sequence_pages(k->sequence, layer);
        for (size_t i = 0; i < k->length; i++) {
            float key, value;
            pph_kv_load(&layout, pages[i / PPH_KV_TOKENS], i % PPH_KV_TOKENS, 0, &key, &value);
            if (key != value_of(k->keys, i, layer) || value != -key)
                fail_msg("token %zu of %zu, layer %zu, is another's", i, k->length, layer);
        }
    }
}

static void begin(known *k, pph_kv_cache *cache)
{
    k->length = 0;
    assert_int_equal(pph_kv_sequence_new(&k->sequence, cache, NULL), PPH_OK);
}

/* Append `count` tokens, whose keys stand in k->keys already. */
static pph_status extend(known *k, size_t count)
{
    PPH_TRY(pph_kv_sequence_reserve(k->sequence, count, NULL));
    write_tokens(k, k->length, count);
    pph_kv_sequence_commit(k->sequence, k->keys + k->length, count);
    k->length += count;
    return PPH_OK;
}

static pph_kv_cache *make(size_t limit)
{
    pph_kv_cache *cache = NULL;
    assert_int_equal(pph_kv_cache_new(&cache, LAYERS, &layout, limit, NULL), PPH_OK);
    return cache;
}

static void adopt(known *k, size_t count, size_t expected)
{
    size_t reused = 99999;
    assert_int_equal(pph_kv_sequence_adopt(k->sequence, k->keys, count, &reused, NULL), PPH_OK);
    assert_int_equal(reused, expected);
    k->length = reused;
    verify(k);
}

static void fill_keys(known *k, uint64_t first)
{
    for (size_t i = 0; i < LONGEST; i++)
        k->keys[i] = first + i;
}

static void test_sharing(void **state)
{
    (void)state;
    pph_kv_cache *cache = make(20);
    static known a, b;
    begin(&a, cache);
    fill_keys(&a, 100);
    assert_int_equal(extend(&a, 100), PPH_OK); /* 3 pages and 4 tokens */
    begin(&b, cache);
    fill_keys(&b, 100);
    adopt(&b, 100, 96);
    pph_kv_counts counts = pph_kv_cache_counts(cache);
    assert_int_equal(counts.held, 4); /* shared, not copied */
    assert_int_equal(counts.asked, 100);
    assert_int_equal(counts.reused, 96);
    assert_ptr_equal(pph_kv_sequence_pages(a.sequence, 1)[2],
                     pph_kv_sequence_pages(b.sequence, 1)[2]);
    assert_int_equal(extend(&b, 30), PPH_OK);
    verify(&a);
    pph_kv_sequence_free(&b.sequence);

    begin(&b, cache); /* another end in the third page: a copy of it */
    fill_keys(&b, 100);
    b.keys[70] = 7;
    adopt(&b, 100, 70);
    assert_int_equal(extend(&b, 20), PPH_OK);
    assert_int_equal(pph_kv_cache_counts(cache).copied, 1);
    verify(&a);
    verify(&b);
    pph_kv_sequence_free(&b.sequence);

    begin(&b, cache); /* never all of it: the last token is computed */
    fill_keys(&b, 100);
    adopt(&b, 64, 63);
    assert_int_equal(extend(&b, 1), PPH_OK);
    assert_ptr_equal(pph_kv_sequence_pages(a.sequence, 0)[1],
                     pph_kv_sequence_pages(b.sequence, 0)[1]); /* and found again as the same */
    pph_kv_sequence_free(&b.sequence);

    begin(&b, cache);
    adopt(&b, 0, 0);
    adopt(&b, 1, 0);
    fill_keys(&b, 101);
    adopt(&b, 200, 0);
    pph_kv_sequence_free(&b.sequence);
    pph_kv_sequence_free(&a.sequence);

    begin(&b, cache); /* what nobody holds is still there */
    fill_keys(&b, 100);
    adopt(&b, 100, 96);
    assert_int_equal(pph_kv_sequence_adopt(b.sequence, b.keys, 9, &a.length, NULL),
                     PPH_INVALID_ARGUMENT);
    pph_kv_sequence_free(&b.sequence);
    pph_kv_cache_clear(cache);
    assert_int_equal(pph_kv_cache_counts(cache).kept, 0);
    begin(&b, cache);
    adopt(&b, 100, 0);
    pph_kv_sequence_free(&b.sequence);
    pph_kv_sequence_free(&b.sequence);
    pph_kv_cache_free(&cache);
    pph_kv_cache_free(&cache);
}

static void test_same_prompt_at_once(void **state)
{
    (void)state; /* two compute the same: once full, one page serves both */
    pph_kv_cache *cache = make(8);
    static known a, b;
    begin(&a, cache);
    begin(&b, cache);
    fill_keys(&a, 5);
    fill_keys(&b, 5);
    for (size_t i = 0; i < 70; i++) {
        assert_int_equal(extend(&a, 1), PPH_OK);
        assert_int_equal(extend(&b, 1), PPH_OK);
    }
    assert_int_equal(pph_kv_cache_counts(cache).held, 4);
    verify(&a);
    verify(&b);
    pph_kv_sequence_free(&a.sequence);
    verify(&b);
    pph_kv_sequence_free(&b.sequence);
    pph_kv_cache_free(&cache);
}

static void test_limit(void **state)
{
    (void)state;
    pph_kv_cache *cache = make(4);
    static known a, b;
    pph_error err = {0};
    begin(&a, cache);
    begin(&b, cache);
    fill_keys(&a, 1);
    fill_keys(&b, 1000);
    assert_int_equal(pph_kv_sequence_reserve(a.sequence, 129, &err), PPH_TOO_LARGE);
    assert_non_null(strstr(err.message, "128"));
    assert_int_equal(pph_kv_sequence_reserve(a.sequence, SIZE_MAX, &err), PPH_TOO_LARGE);
    assert_int_equal(extend(&a, 96), PPH_OK);
    assert_int_equal(extend(&b, 32), PPH_OK);
    assert_int_equal(pph_kv_sequence_reserve(b.sequence, 1, &err), PPH_MEMORY_EXHAUSTED);
    assert_non_null(strstr(err.message, "4 of 4 pages"));
    assert_int_equal(extend(&b, 1), PPH_MEMORY_EXHAUSTED); /* and again: nothing has changed */
    verify(&b);
    pph_kv_sequence_truncate(a.sequence,
                             70); /* its third page is found by others: no room to copy */
    a.length = 70;
    for (size_t i = 70; i < LONGEST; i++)
        a.keys[i] = 9000 + i;
    assert_int_equal(extend(&a, 2), PPH_OK); /* but nobody else holds it */
    verify(&a);
    pph_kv_sequence_truncate(a.sequence, 32);
    a.length = 32;
    assert_int_equal(extend(&b, 64), PPH_OK);
    verify(&a);
    verify(&b);
    pph_kv_sequence_free(&a.sequence);
    pph_kv_sequence_free(&b.sequence);
    assert_int_equal(pph_kv_cache_counts(cache).held, 0);

    begin(&a, cache); /* of what is kept, the least recently used goes, ends before beginnings */
    fill_keys(&a, 1);
    fill_keys(&b, 1000);
    begin(&b, cache);
    adopt(&b, 97, 96);
    pph_kv_sequence_free(&b.sequence);
    begin(&b, cache);
    assert_int_equal(pph_kv_sequence_reserve(b.sequence, 64, NULL), PPH_OK); /* evicts two */
    pph_kv_sequence_free(&b.sequence);
    adopt(&a, 97, 0); /* the older sequence's page was one */
    begin(&b, cache);
    adopt(&b, 97, 64); /* its beginning is still there */
    pph_kv_sequence_free(&b.sequence);
    pph_kv_sequence_free(&a.sequence);
    pph_kv_cache_free(&cache);
}

static void test_fork(void **state)
{
    (void)state;
    pph_kv_cache *cache = make(10);
    static known a, b;
    begin(&a, cache);
    fill_keys(&a, 1);
    assert_int_equal(extend(&a, 50), PPH_OK);
    b = a;
    assert_int_equal(pph_kv_sequence_fork(&b.sequence, a.sequence, NULL), PPH_OK);
    assert_int_equal(pph_kv_cache_counts(cache).held, 2);
    for (size_t i = 50; i < LONGEST; i++)
        b.keys[i] = 500 + i;
    assert_int_equal(extend(&b, 3), PPH_OK);
    assert_int_equal(pph_kv_cache_counts(cache).copied, 1);
    assert_int_equal(extend(&a, 30), PPH_OK); /* alone with its page by now: no copy */
    assert_int_equal(pph_kv_cache_counts(cache).copied, 1);
    verify(&a);
    verify(&b);
    pph_kv_sequence_free(&a.sequence);
    verify(&b);
    pph_kv_sequence_free(&b.sequence);
    pph_kv_cache_free(&cache);
}

/* All prefixes of full pages that were ever written. */
typedef struct past {
    uint64_t keys[LONGEST];
    size_t length;
} past;
static past *history;
static size_t histories;

static void remember(const known *k)
{
    past *p = &history[histories++ % PAST];
    memcpy(p->keys, k->keys, sizeof p->keys);
    p->length = k->length / PPH_KV_TOKENS * PPH_KV_TOKENS;
}

/* The longest prefix that can be known, by trying all. */
static size_t longest(const uint64_t *keys, size_t count)
{
    size_t best = 0;
    for (size_t i = 0; i < PPH_MIN(histories, (size_t)PAST); i++) {
        size_t same = 0;
        while (same < count && same < history[i].length && history[i].keys[same] == keys[same])
            same++;
        best = PPH_MAX(best, same);
    }
    return PPH_MIN(best, count ? count - 1 : 0);
}

static void start(known *k, pph_kv_cache *cache, bool wide)
{
    begin(k, cache);
    for (size_t i = 0; i < LONGEST; i++)
        k->keys[i] = draw(2);
    if (histories) { /* often the beginning of one before */
        const past *p = &history[draw(PPH_MIN(histories, (size_t)PAST))];
        memcpy(k->keys, p->keys, draw(p->length + 1) * sizeof *k->keys);
    }
    size_t count = draw(LONGEST / 2), reused = 0, expected = longest(k->keys, count);
    assert_int_equal(pph_kv_sequence_adopt(k->sequence, k->keys, count, &reused, NULL), PPH_OK);
    if (wide)
        assert_int_equal(reused, expected); /* nothing is lost where there is room */
    else
        assert_true(reused <= expected);
    k->length = reused;
}

static void step(known *k, pph_kv_cache *cache, bool wide)
{
    if (!k->sequence) {
        start(k, cache, wide);
        return;
    }
    size_t more = draw(3) ? draw(40) : 1;
    switch (draw(8)) {
    case 0:
        pph_kv_sequence_free(&k->sequence);
        return;
    case 1:
        k->length = draw(k->length + 1);
        pph_kv_sequence_truncate(k->sequence, k->length);
        for (size_t i = k->length; i < LONGEST; i++)
            k->keys[i] = draw(2);
        return;
    case 2: /* room alone, which may be too much */
        if (pph_kv_sequence_reserve(k->sequence, more, NULL) == PPH_OK)
            assert_true(pph_kv_cache_counts(cache).held <= pph_kv_cache_counts(cache).limit);
        return;
    default:
        more = PPH_MIN(more, LONGEST - k->length);
        pph_status status = extend(k, more);
        assert_true(status == PPH_OK || status == PPH_MEMORY_EXHAUSTED || status == PPH_TOO_LARGE);
        if (status == PPH_OK)
            remember(k);
        else
            assert_false(wide);
        return;
    }
}

static void test_at_random(void **state)
{
    (void)state;
    static known all[SEQUENCES];
    static const size_t limits[] = {1, 2, 5, 12, 30, 100000};
    history = calloc(PAST, sizeof *history);
    assert_non_null(history);
    for (size_t l = 0; l < PPH_COUNT(limits); l++) {
        bool wide = limits[l] == 100000;
        pph_kv_cache *cache = make(limits[l]);
        memset(all, 0, sizeof all);
        histories = 0;
        seed = l;
        for (size_t i = 0; i < 3000; i++) {
            known *k = &all[draw(SEQUENCES)], *other = &all[draw(SEQUENCES)];
            if (!k->sequence && other->sequence && draw(3) == 0) {
                *k = *other;
                assert_int_equal(pph_kv_sequence_fork(&k->sequence, other->sequence, NULL), PPH_OK);
                for (size_t j = k->length; j < LONGEST; j++)
                    k->keys[j] = draw(2);
            } else {
                step(k, cache, wide);
            }
            for (size_t j = 0; j < SEQUENCES; j++)
                if (all[j].sequence)
                    verify(&all[j]);
            pph_kv_counts counts = pph_kv_cache_counts(cache);
            assert_true(counts.held + counts.kept <= counts.limit);
            assert_true(counts.reused <= counts.asked);
            if (i % 701)
                continue;
            for (size_t j = 0; j < SEQUENCES && wide; j++)
                pph_kv_sequence_free(&all[j].sequence);
            pph_kv_cache_clear(cache);
            histories = wide ? 0 : histories; /* now nothing is left; of the others, what is held */
        }
        for (size_t j = 0; j < SEQUENCES; j++)
            pph_kv_sequence_free(&all[j].sequence);
        assert_int_equal(pph_kv_cache_counts(cache).held, 0);
        pph_kv_cache_free(&cache);
    }
    free(history);
}

static void test_refusals(void **state)
{
    (void)state;
    pph_kv_cache *cache = NULL;
    pph_error err = {0};
    assert_int_equal(pph_kv_cache_new(&cache, 0, &layout, 1, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_kv_cache_new(&cache, 1, &layout, 0, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_kv_cache_new(&cache, SIZE_MAX / 64, &layout, 1, &err),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_kv_cache_new(&cache, 1, &layout, SIZE_MAX / 64, &err),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_kv_cache_new(&cache, 1, &(pph_kv_layout){PPH_Q4_0, 1, 1}, 1, &err),
                     PPH_UNSUPPORTED);
    assert_null(cache);
    assert_true(err.message[0]);
}

#ifdef PPH_FAULTS
/* Something of everything; what fails leaves sequences as they were. */
static pph_status everything(void)
{
    PPH_AUTO(pph_kv_cache_free) pph_kv_cache *cache = NULL;
    static known a, b;
    a.sequence = b.sequence = NULL;
    PPH_TRY(pph_kv_cache_new(&cache, LAYERS, &layout, 9, NULL));
    fill_keys(&a, 1);
    a.length = 0;
    pph_status status = pph_kv_sequence_new(&a.sequence, cache, NULL);
    if (status == PPH_OK)
        status = extend(&a, 50);
    if (status == PPH_OK) {
        b = a;
        b.sequence = NULL;
        status = pph_kv_sequence_fork(&b.sequence, a.sequence, NULL);
    }
    if (status == PPH_OK)
        status = extend(&b, 60);
    if (status == PPH_OK) {
        pph_kv_sequence_free(&b.sequence);
        b.length = 0;
        status = pph_kv_sequence_new(&b.sequence, cache, NULL);
    }
    if (status == PPH_OK)
        status = pph_kv_sequence_adopt(b.sequence, b.keys, 290, &b.length, NULL);
    if (status == PPH_OK)
        status = extend(&b, 100);
    if (a.sequence)
        verify(&a);
    if (b.sequence)
        verify(&b);
    pph_kv_sequence_free(&a.sequence);
    pph_kv_sequence_free(&b.sequence);
    assert_int_equal(pph_kv_cache_counts(cache).held, 0);
    return status;
}

static void test_each_allocation(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++) {
        uint64_t nth = 1;
        for (;; nth++) {
            pph_mem_fail_at(nth, after);
            pph_status status = everything();
            bool reached = pph_mem_count() >= nth;
            pph_mem_fail_at(0, false);
            if (!reached) {
                assert_int_equal(status, PPH_OK);
                break;
            }
            /* Where a page that is kept makes room, a failing heap is no failure. */
            assert_true(status == PPH_OUT_OF_MEMORY || status == PPH_OK);
        }
        assert_true(nth > 15);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sharing),         cmocka_unit_test(test_same_prompt_at_once),
        cmocka_unit_test(test_limit),           cmocka_unit_test(test_fork),
        cmocka_unit_test(test_at_random),       cmocka_unit_test(test_refusals),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_each_allocation),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
