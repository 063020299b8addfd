/* Layers that models have in common: what counts as the same, who holds it, and what is left when somebody
 * fails or goes; and the built-in CLIP and LLaVA, whose towers are one. */
#include "../base/check.h"

#include "base/thread.h"
#include "compute/kernels.h"
#include "model/clip.h"
#include "model/llava_vision.h"
#include "teller.h"

enum { INPUTS = 96, OUTPUTS = 200, NUMBERS = INPUTS * OUTPUTS };

typedef struct bench {
    pph_shared_linears *linears;
    told told;
    float weight[NUMBERS], bias[OUTPUTS];
    pph_bf16 narrow[NUMBERS];
    uint16_t half[NUMBERS];
} bench;

/* Numbers that every type holds exactly. */
static void open_bench(bench *b)
{
    memset(b, 0, sizeof *b);
    for (size_t i = 0; i < NUMBERS; i++) {
        b->half[i] =
            (uint16_t)(i * 40503 & 0xBFF8); /* below 2, subnormal ones too; 7 bits of fraction */
        b->weight[i] = pph_f16_to_f32(b->half[i]);
    }
    pph_kernels_get()->tensor.bf16_from_f32(b->narrow, b->weight, NUMBERS);
    for (size_t i = 0; i < OUTPUTS; i++)
        b->bias[i] = (float)i;
    assert_int_equal(pph_shared_linears_new(&b->linears, 42, NULL), PPH_OK);
}

static void close_bench(bench *b)
{
    assert_int_equal(b->told.bytes, 0);
    pph_shared_linears_free(&b->linears);
    assert_null(b->linears);
}

static pph_linear_options layer_of(const bench *b)
{
    return (pph_linear_options){.name = "layer",
                                .precision = PPH_PRECISION_F32,
                                .inputs = INPUTS,
                                .outputs = OUTPUTS,
                                .weight_dtype = PPH_F32,
                                .weight = b->weight,
                                .bias = b->bias,
                                .activation = PPH_ACT_QUICK_GELU};
}

static pph_linear *take(teller *t, pph_linear_options layer, pph_team *team)
{
    pph_linear *linear = NULL;
    pph_error err;
    if (pph_shared_linear_new(&linear, &t->sharer, &layer, team, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return linear;
}

/* Would be wrong: a layer that is packed again for being stored in another type, or hashed by more threads; one
 * that passes for another. */
static void the_same_is_what_computes_the_same(void **state)
{
    (void)state;
    static bench b;
    open_bench(&b);
    teller one, other;
    tell(&one, b.linears, &b.told);
    tell(&other, b.linears, &b.told);
    pph_team *team = NULL;
    assert_int_equal(pph_team_new(&team, 3, NULL), PPH_OK);
    pph_linear *first = take(&one, layer_of(&b), NULL);
    size_t bytes = b.told.bytes;
    assert_int_equal(bytes, pph_linear_bytes(first));
    static const pph_dtype types[] = {PPH_F32, PPH_F16, PPH_BF16};
    for (size_t i = 0; i < 2 * PPH_COUNT(types); i++) {
        pph_linear_options layer = layer_of(&b);
        layer.weight_dtype = types[i % 3];
        layer.weight = i % 3 == 0 ? (void *)b.weight : i % 3 == 1 ? (void *)b.half : b.narrow;
        pph_linear *again = take(&other, layer, i < 3 ? team : NULL);
        assert_ptr_equal(again, first);
        assert_int_equal(b.told.bytes, bytes);
        pph_shared_linear_free(&again, &other.sharer);
        assert_null(again);
    }
    for (int i = 0; i < 7; i++) {
        pph_linear_options layer = layer_of(&b);
        float kept = b.weight[NUMBERS - 1];
        b.weight[NUMBERS - 1] += i == 0 ? 1 : 0;
        b.bias[OUTPUTS - 1] += i == 1;
        layer.bias = i == 2 ? NULL : b.bias;
        layer.activation = i == 3 ? PPH_ACT_NONE : layer.activation;
        layer.precision = i == 4 ? PPH_PRECISION_BF16 : layer.precision;
        layer.outputs = i == 5 ? OUTPUTS / 2 : OUTPUTS;
        if (i == 6) { /* the same bytes, in other rows */
            layer.inputs = OUTPUTS;
            layer.outputs = INPUTS;
        }
        pph_linear *another = take(&other, layer, team);
        assert_ptr_not_equal(another, first);
        assert_int_equal(b.told.bytes, bytes + pph_linear_bytes(another));
        pph_shared_linear_free(&another, &other.sharer);
        b.weight[NUMBERS - 1] = kept;
        b.bias[OUTPUTS - 1] -= i == 1;
    }
    assert_int_equal(pph_shared_linear_bytes(first, &one.sharer), 0);
    pph_shared_linear_free(&first, &one.sharer);
    assert_int_equal(b.told.packed, 8);
    pph_team_free(&team);
    close_bench(&b);
}

/* Blocks are known by their bits; without a sharer all is as ever. */
static void blocks_and_none_at_all(void **state)
{
    (void)state;
    static bench b;
    open_bench(&b);
    teller one;
    tell(&one, b.linears, &b.told);
    static uint8_t blocks[OUTPUTS * INPUTS / 32 * 34]; /* Q8_0: scales of 0 */
    pph_linear_options layer = layer_of(&b);
    layer.weight_dtype = PPH_Q8_0;
    layer.weight = blocks;
    layer.precision = PPH_PRECISION_INT8;
    pph_linear *first = take(&one, layer, NULL), *second = take(&one, layer, NULL);
    assert_ptr_equal(first, second);
    assert_int_equal(one.held, 2);
    blocks[2] = 1;
    pph_linear *other = take(&one, layer, NULL);
    assert_ptr_not_equal(first, other);
    pph_shared_linear_free(&other, &one.sharer);
    pph_shared_linear_free(&second, &one.sharer);
    assert_int_equal(b.told.bytes, pph_linear_bytes(first));
    pph_shared_linear_free(&first, &one.sharer);
    pph_linear *alone[2] = {NULL, NULL};
    layer = layer_of(&b);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pph_shared_linear_new(&alone[i], NULL, &layer, NULL, NULL), PPH_OK);
    assert_ptr_not_equal(alone[0], alone[1]);
    assert_int_equal(pph_shared_linear_bytes(alone[0], NULL), pph_linear_bytes(alone[0]));
    for (int i = 0; i < 2; i++)
        pph_shared_linear_free(&alone[i], NULL);
    close_bench(&b);
}

/* Would be wrong: a layer that cannot be packed and bars the way for the next, or is counted. */
static void what_fails_leaves_nothing(void **state)
{
    (void)state;
    static bench b;
    open_bench(&b);
    teller one;
    tell(&one, b.linears, &b.told);
    pph_error err;
    pph_linear *linear = NULL;
    pph_linear_options layer = layer_of(&b);
    layer.weight_dtype = PPH_I8;
    for (int i = 0; i < 2; i++)
        assert_fails(pph_shared_linear_new(&linear, &one.sharer, &layer, NULL, &err),
                     PPH_UNSUPPORTED, err, "dtype");
    layer.inputs = 0;
    assert_fails(pph_shared_linear_new(&linear, &one.sharer, &layer, NULL, &err),
                 PPH_INVALID_ARGUMENT, err, "layer");
    layer = layer_of(&b);
    one.refuse = 1;
    assert_fails(pph_shared_linear_new(&linear, &one.sharer, &layer, NULL, &err), PPH_OUT_OF_MEMORY,
                 err, "refused");
    assert_int_equal(b.told.bytes, 0);
    linear = take(&one, layer, NULL);
    one.refuse = 1;
    pph_linear *again = NULL;
    assert_fails(pph_shared_linear_new(&again, &one.sharer, &layer, NULL, &err), PPH_OUT_OF_MEMORY,
                 err, "refused");
    assert_int_equal(one.held, 1);
    pph_shared_linear_free(&linear, &one.sharer);
#ifdef PPH_FAULTS
    layer.weight_dtype = PPH_F16;
    layer.weight = b.half;
    sweep_allocations(pph_shared_linear_new(&linear, &one.sharer, &layer, NULL, &err),
                      pph_shared_linear_free(&linear, &one.sharer), 6);
    pph_shared_linears *more = NULL;
    sweep_allocations(pph_shared_linears_new(&more, 1, &err), pph_shared_linears_free(&more), 1);
#endif
    close_bench(&b);
}

/* ---- many at once ---- */

enum { THREADS = 4, ROUNDS = 200, LAYERS = 3 };

typedef struct crowd {
    bench *b;
    pthread_barrier_t *gate;
    teller teller;
    size_t failures;
    pph_linear *got;
} crowd;

static pph_status take_layer(crowd *c, size_t which, pph_linear **out)
{
    pph_linear_options layer = layer_of(c->b);
    layer.outputs -= which;
    return pph_shared_linear_new(out, &c->teller.sharer, &layer, NULL, NULL);
}

/* All take the same, wait for each other, and let it go: packed once. Of the first round one is refused. */
static void *together(void *context)
{
    crowd *c = context;
    for (size_t round = 0; round < ROUNDS; round++) {
        pph_linear *linear = NULL;
        pthread_barrier_wait(c->gate);
        if (take_layer(c, round % LAYERS, &linear) != PPH_OK)
            c->failures++;
        c->got = linear;
        pthread_barrier_wait(c->gate);
        pph_shared_linear_free(&linear, &c->teller.sharer);
    }
    return NULL;
}

/* Nobody waits for anybody: layers come and go while others take them. */
static void *as_it_comes(void *context)
{
    crowd *c = context;
    for (size_t round = 0; round < ROUNDS; round++) {
        pph_linear *linears[LAYERS] = {NULL};
        for (size_t i = 0; i < LAYERS; i++)
            c->failures += take_layer(c, (i + round) % LAYERS, &linears[i]) != PPH_OK;
        for (size_t i = 0; i < LAYERS; i++)
            if (linears[i] && pph_linear_outputs(linears[i]) != OUTPUTS - (i + round) % LAYERS)
                c->failures++;
        for (size_t i = 0; i < LAYERS; i++)
            pph_shared_linear_free(&linears[i], &c->teller.sharer);
    }
    return NULL;
}

static size_t run_crowd(bench *b, void *(*body)(void *), int refuse)
{
    static crowd crowds[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_t gate;
    size_t failures = 0;
    pthread_barrier_init(&gate, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){.b = b, .gate = &gate};
        tell(&crowds[i].teller, b->linears, &b->told);
        crowds[i].teller.refuse = i == 1 ? refuse : 0;
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pph_thread_start(&threads[i], "crowd", body, &crowds[i], NULL), PPH_OK);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++) {
        failures += crowds[i].failures;
        assert_int_equal(crowds[i].teller.held, 0);
        assert_int_equal(crowds[i].teller.refuse, 0);
    }
    pthread_barrier_destroy(&gate);
    return failures;
}

/* Would be wrong: two copies, or none where one of those who came at once was refused; a wait without end. */
static void many_at_once_pack_once(void **state)
{
    (void)state;
    static bench b;
    open_bench(&b);
    assert_int_equal(run_crowd(&b, together, 0), 0);
    assert_int_equal(b.told.packed, ROUNDS);
    assert_int_equal(run_crowd(&b, together, 50), 50);
    assert_int_equal(b.told.packed, 2 * ROUNDS);
    assert_int_equal(run_crowd(&b, as_it_comes, 0), 0);
    close_bench(&b);
}

/* ---- a CLIP and a LLaVA ---- */

#define CLIP  PPH_SOURCE "/models/tiny"
#define LLAVA PPH_SOURCE "/models/tiny-llava"
enum { SIDE = 64, PIXELS = 3 * SIDE * SIDE, VECTOR = 128, ROWS = 64, WIDTH = 192 };

/* A teller each, as each is a model of its own. */
typedef struct pair {
    bench *b;
    pph_team *team;
    teller tellers[2];
    pph_clip *clip;
    pph_llava_vision *vision;
    float pixels[PIXELS], vector[VECTOR], rows[ROWS * WIDTH];
} pair;

static pph_status open_clip(pair *p, pph_precision precision, pph_error *err)
{
    const pph_clip_options options = {.team = p->team,
                                      .precision = precision,
                                      .towers = PPH_CLIP_VISION,
                                      .sharer = &p->tellers[0].sharer};
    return pph_clip_open(&p->clip, CLIP, &options, err);
}

static pph_status open_vision(pair *p, pph_precision precision, pph_error *err)
{
    const pph_llava_vision_options options = {
        .team = p->team, .precision = precision, .sharer = &p->tellers[1].sharer};
    return pph_llava_vision_open(&p->vision, LLAVA, &options, err);
}

static void open_pair(pair *p, bench *b)
{
    memset(p, 0, sizeof *p);
    open_bench(b);
    p->b = b;
    tell(&p->tellers[0], b->linears, &b->told);
    tell(&p->tellers[1], b->linears, &b->told);
    assert_int_equal(pph_team_new(&p->team, 2, NULL), PPH_OK);
    for (size_t i = 0; i < PIXELS; i++)
        p->pixels[i] = (float)((int)(i * 6007 % 401) - 200) / 100;
}

static void close_pair(pair *p)
{
    pph_clip_close(&p->clip);
    pph_llava_vision_close(&p->vision);
    assert_int_equal(p->tellers[0].held, 0);
    assert_int_equal(p->tellers[1].held, 0);
    pph_team_free(&p->team);
    close_bench(p->b);
}

/* first  it is to be kept for the later ones */
static void same_vector(pair *p, bool first)
{
    float out[VECTOR];
    assert_int_equal(
        pph_clip_embed_pixels(p->clip, 1, (const float *const[]){p->pixels}, out, NULL, NULL),
        PPH_OK);
    if (first)
        memcpy(p->vector, out, sizeof out);
    assert_memory_equal(out, p->vector, sizeof out);
}

static void same_rows(pair *p, bool first)
{
    static float out[ROWS * WIDTH];
    assert_int_equal(pph_llava_vision_embed(p->vision, 1, p->pixels, out, NULL), PPH_OK);
    if (first)
        memcpy(p->rows, out, sizeof out);
    assert_memory_equal(out, p->rows, sizeof out);
}

/* Bytes of the patch embedding and three of the four layers, each number `bytes` at the least: what LLaVA uses, all
 * of which a CLIP uses in the same way. */
static size_t least_shared(size_t bytes)
{
    return bytes * (128 * 3 * 8 * 8 + 3 * (4 * 128 * 128 + 2 * 128 * 512));
}

/* Would be wrong: a tower that is held twice; one that changes, or goes, with the other model; a model that counts
 * what its teller has counted. */
static void clip_and_llava_hold_one_tower(void **state)
{
    (void)state;
    static const pph_precision precisions[] = {PPH_PRECISION_F32, PPH_PRECISION_AUTO,
                                               PPH_PRECISION_INT8};
    static bench b;
    static pair p;
    for (size_t i = 0; i < PPH_COUNT(precisions); i++) {
        open_pair(&p, &b);
        assert_int_equal(open_clip(&p, precisions[i], NULL), PPH_OK);
        size_t clip = b.told.bytes, own = pph_clip_bytes(p.clip) - pph_clip_working_bytes(p.clip);
        same_vector(&p, true);
        assert_int_equal(open_vision(&p, precisions[i], NULL), PPH_OK);
        size_t both = b.told.bytes;
        same_rows(&p, true);
        pph_clip_close(&p.clip);
        size_t llava = b.told.bytes;
        size_t shared = clip + llava - both;
        print_message("# %s: CLIP %zu, LLaVA %zu, both %zu bytes, of them shared %zu\n",
                      pph_precision_name(precisions[i]), clip, llava, both, shared);
        assert_int_equal(shared, llava); /* it has no layer that CLIP has not */
        assert_int_equal(both, clip);
        assert_true(shared >= least_shared(i == 0 ? 4 : 1));
        assert_true(own < clip / 4);
        same_rows(&p, false);
        assert_int_equal(open_clip(&p, precisions[i], NULL), PPH_OK);
        assert_int_equal(b.told.bytes, both);
        same_vector(&p, false);
        pph_llava_vision_close(&p.vision);
        assert_int_equal(b.told.bytes, clip);
        same_vector(&p, false);
        close_pair(&p);
    }
}

/* Another precision is another tower. */
static void precisions_are_apart(void **state)
{
    (void)state;
    static bench b;
    static pair p;
    open_pair(&p, &b);
    assert_int_equal(open_clip(&p, PPH_PRECISION_F32, NULL), PPH_OK);
    size_t clip = b.told.bytes;
    assert_int_equal(open_vision(&p, PPH_PRECISION_INT8, NULL), PPH_OK);
    assert_true(b.told.bytes > clip);
    close_pair(&p);
}

#ifdef PPH_FAULTS
/* Would be wrong: a layer that stays behind, or goes with somebody's failure while another has it. */
static void no_memory_leaves_the_other_whole(void **state)
{
    (void)state;
    static bench b;
    static pair p;
    pph_error err;
    open_pair(&p, &b);
    size_t failures = 0;
    bool reached = true;
    for (uint64_t nth = 1; reached; nth += 1 + nth / 40) {
        pph_mem_fail_at(nth, false);
        pph_status status = open_clip(&p, PPH_PRECISION_F32, &err);
        reached = pph_mem_count() >= nth;
        pph_mem_fail_at(0, false);
        assert_true(status == PPH_OUT_OF_MEMORY || status == PPH_OK);
        failures += status != PPH_OK;
        pph_clip_close(&p.clip);
        assert_int_equal(b.told.bytes, 0);
    }
    assert_int_equal(open_clip(&p, PPH_PRECISION_F32, NULL), PPH_OK);
    same_vector(&p, true);
    size_t clip = b.told.bytes;
    reached = true;
    for (uint64_t nth = 1; reached; nth += 1 + nth / 40) {
        pph_mem_fail_at(nth, false);
        pph_status status = open_vision(&p, PPH_PRECISION_F32, &err);
        reached = pph_mem_count() >= nth;
        pph_mem_fail_at(0, false);
        assert_true(status == PPH_OUT_OF_MEMORY || status == PPH_OK);
        failures += status != PPH_OK;
        pph_llava_vision_close(&p.vision);
        assert_int_equal(b.told.bytes, clip);
        assert_int_equal(p.tellers[1].held, 0);
    }
    assert_true(failures > 100);
    same_vector(&p, false);
    close_pair(&p);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_what_computes_the_same),
        cmocka_unit_test(blocks_and_none_at_all),
        cmocka_unit_test(what_fails_leaves_nothing),
        cmocka_unit_test(many_at_once_pack_once),
        cmocka_unit_test(clip_and_llava_hold_one_tower),
        cmocka_unit_test(precisions_are_apart),
#ifdef PPH_FAULTS
        cmocka_unit_test(no_memory_leaves_the_other_whole),
#endif
    };
    return cmocka_run_group_tests_name("model/shared_linear", tests, NULL, NULL);
}
