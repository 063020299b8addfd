/* In-flight sharing: roles, handing out, passing on, and 100,000 random operations against arrays. */
#include "base/error.h"
#include "base/mem.h"
#include "pool/sharing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static pph_share make(unsigned content, uint32_t kind, uint64_t variant)
{
    pph_share share = {.key = {.kind = kind, .variant = variant}};
    memcpy(share.key.content, &content, sizeof content);
    return share;
}

static void test_roles(void **state)
{
    (void)state;
    pph_sharing sharing = {0};
    pph_share a = make(1, 0, 0), b = a, c = a;
    pph_share kind = make(1, 1, 0), variant = make(1, 0, 1), content = make(2, 0, 0);
    assert_int_equal(pph_sharing_join(&sharing, &a), PPH_SHARE_LEADER);
    assert_int_equal(pph_sharing_join(&sharing, &b), PPH_SHARE_FOLLOWER);
    assert_int_equal(pph_sharing_join(&sharing, &c), PPH_SHARE_FOLLOWER);
    assert_ptr_equal(c.leader, &a);
    assert_int_equal(pph_sharing_join(&sharing, &kind), PPH_SHARE_LEADER);
    assert_int_equal(pph_sharing_join(&sharing, &variant), PPH_SHARE_LEADER);
    assert_int_equal(pph_sharing_join(&sharing, &content), PPH_SHARE_LEADER);
    pph_share *first = pph_sharing_end(&sharing, &a);
    assert_ptr_equal(first, &b);
    assert_ptr_equal(first->next, &c);
    assert_null(c.next);
    assert_int_equal(b.role, PPH_SHARE_ALONE);
    assert_null(pph_sharing_end(&sharing, &a)); /* once */
    assert_null(pph_sharing_leave(&sharing, &b));
    /* What comes after the end starts anew. */
    assert_int_equal(pph_sharing_join(&sharing, &b), PPH_SHARE_LEADER);
    assert_null(pph_sharing_end(&sharing, &b));
    pph_sharing_deinit(&sharing);
    assert_int_equal(kind.role, PPH_SHARE_ALONE);
}

static void test_pass_on(void **state)
{
    (void)state;
    pph_sharing sharing = {0};
    pph_share all[4], other = make(9, 0, 0);
    assert_int_equal(pph_sharing_join(&sharing, &other), PPH_SHARE_LEADER);
    for (size_t i = 0; i < PPH_COUNT(all); i++) {
        all[i] = make(1, 0, 0);
        pph_sharing_join(&sharing, &all[i]);
    }
    assert_null(pph_sharing_leave(&sharing, &all[2])); /* a follower just goes */
    assert_int_equal(all[0].followers, 2);
    assert_ptr_equal(pph_sharing_leave(&sharing, &all[0]), &all[1]);
    assert_int_equal(all[1].role, PPH_SHARE_LEADER);
    assert_ptr_equal(all[3].leader, &all[1]);
    assert_int_equal(pph_sharing_join(&sharing, &all[0]), PPH_SHARE_FOLLOWER); /* last now */
    assert_ptr_equal(pph_sharing_leave(&sharing, &all[1]), &all[3]);
    assert_ptr_equal(pph_sharing_leave(&sharing, &all[3]), &all[0]);
    assert_null(pph_sharing_leave(&sharing, &all[0])); /* the last one has nobody */
    assert_int_equal(sharing.leaders, 1);
    pph_sharing_deinit(&sharing);
}

static bool never(const pph_share *a, const pph_share *b)
{
    (void)a, (void)b;
    return false;
}

/* Equal keys of unequal content, made by someone who can: each is run for itself. */
static void test_collision(void **state)
{
    (void)state;
    pph_sharing sharing = {.same = never};
    pph_share a = make(1, 0, 0), b = a;
    assert_int_equal(pph_sharing_join(&sharing, &a), PPH_SHARE_LEADER);
    assert_int_equal(pph_sharing_join(&sharing, &b), PPH_SHARE_LEADER);
    assert_null(pph_sharing_end(&sharing, &a));
    assert_int_equal(b.role, PPH_SHARE_LEADER);
    pph_sharing_deinit(&sharing);
}

/* The reference: per key the members in the order they came; the first leads. */
enum { NODES = 600, KEYS = 250, OPERATIONS = 100000 };

static pph_share nodes[NODES];
static unsigned key_of[NODES];
static struct {
    pph_share *members[NODES];
    size_t count;
} groups[KEYS];
static size_t seen[4];

static uint64_t seed = 7;

static size_t draw(size_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % below;
}

static void do_join(pph_sharing *sharing, size_t n)
{
    unsigned key = key_of[n] = (unsigned)(draw(2) ? draw(KEYS) : draw(10));
    nodes[n] = make(key / 4, key % 2, key / 2 % 2);
    pph_share_role wanted = groups[key].count ? PPH_SHARE_FOLLOWER : PPH_SHARE_LEADER;
    assert_int_equal(pph_sharing_join(sharing, &nodes[n]), wanted);
    groups[key].members[groups[key].count++] = &nodes[n];
    if (wanted == PPH_SHARE_FOLLOWER)
        assert_ptr_equal(nodes[n].leader, groups[key].members[0]);
    seen[0] += wanted == PPH_SHARE_FOLLOWER;
}

static void do_end(pph_sharing *sharing, size_t n)
{
    unsigned key = key_of[n];
    bool leads = groups[key].members[0] == &nodes[n];
    pph_share *first = pph_sharing_end(sharing, &nodes[n]);
    if (!leads) {
        assert_null(first);
        assert_int_equal(nodes[n].role, PPH_SHARE_FOLLOWER);
        return;
    }
    size_t i = 1;
    for (pph_share *share = first, *next; share; share = next, i++) {
        next = share->next;
        assert_true(i < groups[key].count);
        assert_ptr_equal(share, groups[key].members[i]);
        assert_int_equal(share->role, PPH_SHARE_ALONE);
    }
    assert_int_equal(i, groups[key].count);
    seen[1] += i > 1;
    groups[key].count = 0;
}

static void do_leave(pph_sharing *sharing, size_t n)
{
    unsigned key = key_of[n];
    size_t kept = 0;
    bool leads = groups[key].members[0] == &nodes[n];
    for (size_t i = 0; i < groups[key].count; i++)
        if (groups[key].members[i] != &nodes[n])
            groups[key].members[kept++] = groups[key].members[i];
    groups[key].count = kept;
    pph_share *heir = pph_sharing_leave(sharing, &nodes[n]);
    assert_ptr_equal(heir, leads && kept ? groups[key].members[0] : NULL);
    assert_int_equal(nodes[n].role, PPH_SHARE_ALONE);
    if (kept)
        assert_int_equal(groups[key].members[0]->followers, kept - 1);
    for (size_t i = 1; i < kept; i++)
        assert_ptr_equal(groups[key].members[i]->leader, groups[key].members[0]);
    seen[2] += heir != NULL;
    seen[3] += !leads;
}

static void test_random(void **state)
{
    (void)state;
    pph_sharing sharing = {0};
    for (unsigned i = 0; i < OPERATIONS; i++) {
        size_t n = draw(NODES), leaders = 0;
        if (nodes[n].role == PPH_SHARE_ALONE)
            do_join(&sharing, n);
        else if (draw(3))
            do_leave(&sharing, n);
        else
            do_end(&sharing, n);
        for (unsigned key = 0; key < KEYS; key++)
            leaders += groups[key].count > 0;
        assert_int_equal(sharing.leaders, leaders);
    }
    for (size_t i = 0; i < PPH_COUNT(seen); i++)
        assert_true(seen[i] > 1000);
    assert_true(sharing.bucket_count >= 128); /* it has grown */
    pph_sharing_deinit(&sharing);
    for (size_t n = 0; n < NODES; n++)
        assert_int_equal(nodes[n].role, PPH_SHARE_ALONE);
}

#ifdef PPH_FAULTS
static void test_no_memory(void **state)
{
    (void)state;
    pph_sharing sharing = {0};
    static pph_share many[1000], again[1000];
    pph_mem_fail_at(1, true);
    pph_share lone = make(1, 0, 0);
    assert_int_equal(pph_sharing_join(&sharing, &lone), PPH_SHARE_ALONE);
    assert_null(pph_sharing_end(&sharing, &lone));
    assert_null(pph_sharing_leave(&sharing, &lone));
    pph_mem_fail_at(2, true); /* the first table, and no growth */
    size_t led = 0;
    for (unsigned i = 0; i < PPH_COUNT(many); i++) {
        many[i] = make(i, 0, 0);
        led += pph_sharing_join(&sharing, &many[i]) == PPH_SHARE_LEADER;
    }
    assert_int_equal(led, 64 * 8); /* chains of at most eight on average, then alone */
    for (unsigned i = 0; i < PPH_COUNT(again); i++) {
        again[i] = make(i, 0, 0);
        assert_int_equal(pph_sharing_join(&sharing, &again[i]),
                         i < led ? PPH_SHARE_FOLLOWER : PPH_SHARE_ALONE);
    }
    pph_mem_fail_at(0, false);
    /* With memory again it grows, and loses nobody. */
    pph_share fresh = make(5000, 0, 0);
    assert_int_equal(pph_sharing_join(&sharing, &fresh), PPH_SHARE_LEADER);
    for (size_t i = 0; i < led; i++)
        assert_ptr_equal(pph_sharing_end(&sharing, &many[i]), &again[i]);
    pph_sharing_deinit(&sharing);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles),     cmocka_unit_test(test_pass_on),
        cmocka_unit_test(test_collision), cmocka_unit_test(test_random),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests_name("sharing", tests, NULL, NULL);
}
