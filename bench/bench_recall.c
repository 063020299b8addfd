/* How well a memory finds what it was told: 500 facts, 100 drawn pictures, 200 questions whose answers are
 * known. Prints for how many the answer is among the first five, by all ways together, by vectors alone, by
 * words alone.
 *
 *   bench_recall MODEL STORE [--facts N] [--pictures N] [--questions N] [--seed N]
 *
 * MODEL is a CLIP's folder (models/tiny); STORE is made anew. Facts are of people, things and
 * days, many of them near each other in words; every eighth has an older version that is no longer true, and the
 * newer one is what counts. Half of the questions are about facts, in other words than theirs where there are
 * such; half describe a picture. Everything follows from one seed. Exit status 1: all ways together find
 * less than one of them alone. */
#include "base/buffer.h"
#include "base/mem.h"
#include <math.h>
#include <paraphym/memory.h>
#include <paraphym/runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FACTS = 500,
    PICTURES = 100,
    QUESTIONS = 200,
    SIDE = 64,
    FIRST = 5,
    TEXT = 160,
    DAY_MS = 86400000
};

static uint64_t state = 20260101;

static unsigned draw(unsigned below)
{
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (unsigned)((z ^ z >> 31) % below);
}

#define PICK(list) list[draw((unsigned)PPH_COUNT(list))]

/* ---- facts ---- */

static const char *const names[] = {"Anna", "Ben",  "Clara", "David", "Emma", "Felix", "Grace",
                                    "Hugo", "Ida",  "Jack",  "Kate",  "Leo",  "Mia",   "Noah",
                                    "Olga", "Paul", "Rosa",  "Sam",   "Tina", "Tom"};
static const char *const things[] = {"key", "book", "ball", "cup",   "hat",  "lamp",
                                     "bag", "pen",  "coat", "clock", "bike", "map"};
static const char *const rooms[] = {"kitchen", "garden", "garage",  "office", "bedroom",
                                    "hall",    "attic",  "library", "cellar", "shop"};
static const char *const cities[] = {"Rome", "Paris",  "London", "Berlin", "Madrid",
                                     "Oslo", "Vienna", "Prague", "Lisbon", "Athens"};
static const char *const foods[] = {"tea",  "coffee", "bread", "cheese",
                                    "soup", "rice",   "cake",  "honey"};
static const char *const events[] = {"meeting", "party", "exam", "concert", "trip", "lesson"};
static const char *const days[] = {"Monday",   "Tuesday", "Wednesday",
                                   "Thursday", "Friday",  "Saturday"};

/* A fact and what is asked about it. `key` is the same for facts that answer the same question. */
typedef struct fact {
    char text[TEXT], question[TEXT], key[TEXT];
    pph_memory_id id;
} fact;

static void make_fact(fact *out)
{
    const char *name = PICK(names), *thing = PICK(things), *event = PICK(events);
    switch (draw(5)) {
    case 0:
        snprintf(out->text, TEXT, "%s lives in %s.", name, PICK(cities));
        snprintf(out->question, TEXT, "In which city does %s live?", name);
        break;
    case 1:
        snprintf(out->text, TEXT, "The %s of %s is in the %s.", thing, name, PICK(rooms));
        snprintf(out->question, TEXT, "Where did %s put the %s?", name, thing);
        break;
    case 2:
        snprintf(out->text, TEXT, "%s likes %s more than anything.", name, PICK(foods));
        snprintf(out->question, TEXT, "What does %s like to eat or drink?", name);
        break;
    case 3:
        snprintf(out->text, TEXT, "The %s with %s is on %s.", event, name, PICK(days));
        snprintf(out->question, TEXT, "When is the %s with %s?", event, name);
        break;
    default:
        snprintf(out->text, TEXT, "%s has lent the %s to %s.", name, thing, PICK(names));
        snprintf(out->question, TEXT, "Who has the %s that belongs to %s?", thing, name);
        break;
    }
    snprintf(out->key, TEXT, "%s", out->question);
}

/* ---- pictures ---- */

static const char *const shapes[] = {"circle", "square", "diamond", "ring", "cross", "triangle"};
static const char *const colours[] = {"red",  "orange", "yellow", "green",
                                      "blue", "purple", "pink",   "black"};
static const uint8_t paint[][3] = {{230, 25, 25}, {235, 140, 20}, {246, 220, 30},  {25, 175, 40},
                                   {25, 50, 230}, {135, 30, 175}, {248, 128, 185}, {24, 24, 24}};
static const char *const sizes[] = {"small", "large"};
static const char *const places[] = {"at the top left",    "at the top",    "at the top right",
                                     "on the left",        "in the centre", "on the right",
                                     "at the bottom left", "at the bottom", "at the bottom right"};

typedef struct scene {
    unsigned shape, colour, size, place;
    pph_memory_id id;
} scene;

/* Whether a point, in radii from the middle, lies in a shape. */
static bool inside(unsigned shape, double x, double y)
{
    double ax = fabs(x), ay = fabs(y), r = sqrt(x * x + y * y);
    switch (shape) {
    case 0:
        return r <= 0.95;
    case 1:
        return ax <= 0.84 && ay <= 0.84;
    case 2:
        return ax / 0.74 + ay / 1.12 <= 1;
    case 3:
        return r <= 1 && r >= 0.55;
    case 4:
        return (ax <= 0.34 && ay <= 1) || (ay <= 0.34 && ax <= 1);
    default:
        return y <= 0.78 && y >= -1 && ax <= (y + 1) / 1.78;
    }
}

static void paint_scene(const scene *what, uint8_t rgb[SIDE][SIDE][3])
{
    double radius = (what->size ? 8.6 : 4.8) / 64;
    double cx = (what->place % 3 + 0.5) / 3, cy = (what->place / 3 + 0.5) / 3;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int hits = 0;
            for (int k = 0; k < 16; k++)
                hits += inside(what->shape, ((x + (k % 4 + 0.5) / 4) / SIDE - cx) / radius,
                               ((y + (k / 4 + 0.5) / 4) / SIDE - cy) / radius);
            for (int c = 0; c < 3; c++)
                rgb[y][x][c] = (uint8_t)((paint[what->colour][c] * hits + 240 * (16 - hits)) / 16);
        }
}

static void put_number(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static pph_status put_chunk(pph_buffer *out, const char *kind, const uint8_t *bytes, size_t size,
                            pph_error *err)
{
    uint8_t number[4];
    uint32_t sum = 0xFFFFFFFF;
    put_number(number, (uint32_t)size);
    PPH_TRY(pph_buffer_append(out, number, 4, err));
    size_t from = out->size;
    PPH_TRY(pph_buffer_append(out, kind, 4, err));
    PPH_TRY(pph_buffer_append(out, bytes, size, err));
    for (size_t i = from; i < out->size; i++) {
        sum ^= out->data[i];
        for (int k = 0; k < 8; k++)
            sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320u : 0);
    }
    put_number(number, ~sum);
    return pph_buffer_append(out, number, 4, err);
}

/* A PNG, its pixels not compressed. */
static pph_status make_png(const scene *what, pph_buffer *out, pph_error *err)
{
    static uint8_t rgb[SIDE][SIDE][3];
    enum { ROW = 1 + 3 * SIDE, ALL = SIDE * ROW };
    static uint8_t packed[2 + 5 + ALL + 4];
    uint8_t head[13] = {0, 0, 0, SIDE, 0, 0, 0, SIDE, 8, 2, 0, 0, 0};
    uint32_t a = 1, b = 0;
    paint_scene(what, rgb);
    memcpy(packed,
           (const uint8_t[]){0x78, 1, 1, ALL & 255, ALL >> 8, ~ALL & 255, (~ALL >> 8) & 255}, 7);
    for (int y = 0; y < SIDE; y++) {
        packed[7 + y * ROW] = 0;
        memcpy(packed + 8 + y * ROW, rgb[y], 3 * SIDE);
    }
    for (size_t i = 0; i < ALL; i++) {
        a = (a + packed[7 + i]) % 65521;
        b = (b + a) % 65521;
    }
    put_number(packed + 7 + ALL, b << 16 | a);
    PPH_TRY(pph_buffer_append(out, "\x89PNG\r\n\x1a\n", 8, err));
    PPH_TRY(put_chunk(out, "IHDR", head, sizeof head, err));
    PPH_TRY(put_chunk(out, "IDAT", packed, sizeof packed, err));
    return put_chunk(out, "IEND", NULL, 0, err);
}

/* ---- the memory ---- */

typedef struct bench {
    pph_pool *pool;
    pph_multimodal *model;
    pph_memory *memory;
    fact facts[FACTS];
    scene scenes[PICTURES];
    size_t fact_count, scene_count, question_count;
} bench;

static void bench_free(bench **self)
{
    pph_memory_close(&(*self)->memory);
    pph_multimodal_close(&(*self)->model);
    pph_pool_close(&(*self)->pool);
    pph_free(PPH_TAKE(*self));
}

static void remove_store(const char *store)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-vectors-1"};
    for (size_t i = 0; i < PPH_COUNT(ends); i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s%s", store, ends[i]);
        unlink(path);
    }
}

static pph_status open_all(bench *self, const char *model, const char *store, pph_error *err)
{
    pph_multimodal_options service = pph_multimodal_defaults();
    service.truncate = true;
    PPH_TRY(pph_pool_open(&self->pool, NULL, err));
    PPH_TRY(pph_multimodal_open(&self->model, self->pool, model, &service, err));
    const pph_memory_embedder embedder = pph_memory_embedder_of(self->model, "bench", true, true);
    pph_memory_options options = pph_memory_defaults();
    options.embedders = &embedder;
    options.embedder_count = 1;
    options.pool = self->pool;
    return pph_memory_open(&self->memory, store, &options, err);
}

static pph_status remember(bench *self, const pph_memory_item *item, pph_memory_id *id,
                           pph_error *err)
{
    PPH_AUTO(pph_future_free) pph_future *future = pph_memory_add(self->memory, item);
    PPH_TRY(pph_block_on(future, err));
    const pph_memory_added *added =
        &((const pph_memory_additions *)pph_future_value(future))->items[0];
    if (added->warning.status != PPH_OK)
        return PPH_FAIL(err, added->warning.status, "%s", added->warning.message);
    *id = added->id;
    return PPH_OK;
}

/* The number of the fact that answers the same question; self->fact_count: none. */
static size_t same_question(const bench *self, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(self->facts[i].key, key) == 0)
            return i;
    return count;
}

static pph_status tell_facts(bench *self, int64_t now, pph_error *err)
{
    for (size_t i = 0; i < self->fact_count; i++) {
        fact *one = &self->facts[i], old;
        /* A question has one answer, but for what is no longer true. */
        for (int tries = 0; tries < 1000; tries++) {
            make_fact(one);
            if (same_question(self, i, one->key) == i)
                break;
        }
        pph_memory_item item = pph_memory_item_defaults();
        for (int tries = 0; i % 8 == 0 && tries < 100000; tries++) {
            make_fact(&old);
            if (strcmp(old.key, one->key) != 0 || strcmp(old.text, one->text) == 0)
                continue;
            item.text = old.text;
            item.created = now - 60 * (int64_t)DAY_MS;
            PPH_TRY(remember(self, &item, &old.id, err));
            break;
        }
        item.text = one->text;
        item.created = now - (int64_t)draw(10) * DAY_MS;
        PPH_TRY(remember(self, &item, &one->id, err));
    }
    return PPH_OK;
}

static pph_status show_pictures(bench *self, int64_t now, pph_error *err)
{
    for (size_t i = 0; i < self->scene_count; i++) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer png = {0};
        scene *one = &self->scenes[i];
        bool again = true;
        while (again) {
            *one = (scene){draw(6), draw(8), draw(2), draw(9), {{0}}};
            again = false;
            for (size_t k = 0; k < i; k++)
                again |= memcmp(one, &self->scenes[k], offsetof(scene, id)) == 0;
        }
        PPH_TRY(make_png(one, &png, err));
        pph_memory_item item = pph_memory_item_defaults();
        item.picture = png.data;
        item.picture_size = png.size;
        item.created = now - (int64_t)draw(10) * DAY_MS;
        PPH_TRY(remember(self, &item, &one->id, err));
    }
    return PPH_OK;
}

enum { TOGETHER, VECTORS, WORDS, WAYS };

static pph_status ask(bench *self, const char *question, pph_memory_id answer, size_t hits[WAYS],
                      pph_error *err)
{
    for (int way = 0; way < WAYS; way++) {
        const pph_memory_query query = {.text = question,
                                        .limit = FIRST,
                                        .without_vectors = way == WORDS,
                                        .without_words = way == VECTORS,
                                        .without_time = way != TOGETHER,
                                        .peek = true};
        PPH_AUTO(pph_future_free) pph_future *future = pph_memory_search(self->memory, &query);
        PPH_TRY(pph_block_on(future, err));
        const pph_memory_hits *found = pph_future_value(future);
        for (size_t i = 0; i < found->count; i++)
            hits[way] += memcmp(&found->items[i].item.id, &answer, sizeof answer) == 0;
    }
    return PPH_OK;
}

static pph_status ask_all(bench *self, size_t of_facts[WAYS], size_t of_pictures[WAYS],
                          pph_error *err)
{
    for (size_t q = 0; q < self->question_count; q++) {
        char text[TEXT];
        if (q % 2) {
            const scene *one = &self->scenes[q / 2 % self->scene_count];
            snprintf(text, sizeof text, "a %s %s %s %s", sizes[one->size], colours[one->colour],
                     shapes[one->shape], places[one->place]);
            PPH_TRY(ask(self, text, one->id, of_pictures, err));
        } else {
            const fact *one = &self->facts[(size_t)(q / 2) * 4 % self->fact_count];
            PPH_TRY(ask(self, one->question, one->id, of_facts, err));
        }
    }
    return PPH_OK;
}

static pph_status run(bench *self, char **argv, size_t sums[WAYS], pph_error *err)
{
    struct timespec now;
    size_t of_facts[WAYS] = {0}, of_pictures[WAYS] = {0};
    static const char *const ways[] = {"together", "vectors", "words"};
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000;
    remove_store(argv[2]);
    PPH_TRY(open_all(self, argv[1], argv[2], err));
    PPH_TRY(tell_facts(self, ms, err));
    PPH_TRY(show_pictures(self, ms, err));
    PPH_TRY(ask_all(self, of_facts, of_pictures, err));
    printf("%zu facts, %zu pictures, %zu questions; answers among the first %d:\n",
           self->fact_count, self->scene_count, self->question_count, FIRST);
    for (int way = 0; way < WAYS; way++) {
        sums[way] = of_facts[way] + of_pictures[way];
        printf("%-9s %3zu  (facts %zu, pictures %zu)\n", ways[way], sums[way], of_facts[way],
               of_pictures[way]);
    }
    return PPH_OK;
}

static size_t option(int argc, char **argv, const char *name, size_t most)
{
    for (int i = 3; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) {
            size_t value = strtoul(argv[i + 1], NULL, 10);
            return value && value < most ? value : most;
        }
    return most;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr,
                "bench_recall MODEL STORE [--facts N] [--pictures N] [--questions N] [--seed N]\n");
        return 2;
    }
    size_t sums[WAYS] = {0};
    pph_error error = {0};
    PPH_AUTO(bench_free) bench *self = pph_alloc(sizeof *self);
    if (!self)
        return 2;
    self->fact_count = option(argc, argv, "--facts", FACTS);
    self->scene_count = option(argc, argv, "--pictures", PICTURES);
    self->question_count = option(argc, argv, "--questions", QUESTIONS);
    state += option(argc, argv, "--seed", 1 << 20);
    if (run(self, argv, sums, &error) != PPH_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 2;
    }
    return sums[TOGETHER] >= sums[VECTORS] && sums[TOGETHER] >= sums[WORDS] ? 0 : 1;
}
