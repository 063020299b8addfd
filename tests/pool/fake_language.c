/* The fake language model. Its one layer's keys hold the ids of tokens. */
#include "fake_language.h"

#include "base/mem.h"
#include "base/spare.h"
#include "base/thread.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct pph_engine {
    pph_kv_cache *cache;
    pph_tokenizer *tokenizer;
    pph_decoder_info info;
    pph_sight sight;
    size_t number; /* from 1 */
};

fake_language lang;
static const int ends[] = {LANG_END};
static const pph_kv_layout layout = {.dtype = PPH_F32, .heads = 1, .size = 8};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_condition(void)
{
    pph_cond_init(&changed);
}

void lang_reset(void)
{
    pthread_once(&once, make_condition);
    lang_lock();
    lang = (fake_language){.context = 2048, .pages = 512, .picture_room = 1 << 20};
    lang_unlock();
}

void lang_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void lang_unlock(void)
{
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

bool lang_await(const size_t *counter, size_t least)
{
    pph_nanos deadline = pph_clock_after(PPH_SECONDS(60));
    pthread_mutex_lock(&mutex);
    while (*counter < least && pph_cond_wait_until(&changed, &mutex, deadline)) {
    }
    bool reached = *counter >= least;
    pthread_mutex_unlock(&mutex);
    return reached;
}

size_t lang_read(const size_t *counter)
{
    lang_lock();
    size_t value = *counter;
    lang_unlock();
    return value;
}

void lang_set(bool *what, bool value)
{
    lang_lock();
    *what = value;
    lang_unlock();
}

/* ---- what it makes of a text ---- */

typedef struct context {
    uint32_t hash;
    size_t count;
    bool seen[256];
} context;

static void take(context *c, int32_t id)
{
    c->hash = (c->hash ^ (uint32_t)id) * 16777619u;
    c->count++;
    if (id < 256)
        c->seen[id] = true;
}

static int32_t next_of(const context *c)
{
    if (c->seen[LANG_MUTE])
        return LANG_END;
    if (c->seen[LANG_ARROWS])
        return (uint8_t) "\xE2\x86\x92"[c->count % 3];
    uint32_t h = (c->hash ^ c->hash >> 15) * 2654435761u;
    return 'a' + (int32_t)(h >> 8) % 26;
}

size_t lang_answer_ids(const int32_t *ids, size_t id_count, size_t count, char *out)
{
    context c = {.hash = 2166136261u};
    size_t made = 0;
    for (size_t i = 0; i < id_count; i++)
        take(&c, ids[i]);
    for (int32_t id; made < count && (id = next_of(&c)) != LANG_END; made++) {
        out[made] = (char)id;
        take(&c, id);
    }
    out[made] = 0;
    return made;
}

size_t lang_answer(const char *text, size_t count, char *out)
{
    int32_t ids[4096];
    size_t size = PPH_MIN(strlen(text), PPH_COUNT(ids));
    for (size_t i = 0; i < size; i++)
        ids[i] = (uint8_t)text[i];
    return lang_answer_ids(ids, size, count, out);
}

/* ---- the engine ---- */

/* The letter that stands for a byte in vocabularies of bytes, as JSON has it. */
static size_t write_byte(char *out, size_t size, unsigned byte)
{
    static const char *const hex = "%s\\u%04x\":%u";
    bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    unsigned point = byte;
    if (!itself) {
        point = 256;
        for (unsigned i = 0; i < byte; i++)
            point += !((i >= 0x21 && i <= 0x7E) || (i >= 0xA1 && i != 0xAD));
    }
    return (size_t)snprintf(out, size, hex, byte ? ",\"" : "\"", point, byte);
}

static pph_status open_tokenizer(pph_tokenizer **out, pph_error *err)
{
    char text[8192];
    size_t at = (size_t)snprintf(
        text, sizeof text,
        "{\"added_tokens\":[{\"id\":256,\"content\":\"<|im_start|>\",\"special\":true},"
        "{\"id\":257,\"content\":\"<|im_end|>\",\"special\":true}],"
        "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
        "\"use_regex\":false},\"decoder\":{\"type\":\"ByteLevel\"},\"post_processor\":null,"
        "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (unsigned i = 0; i < 256; i++)
        at += write_byte(text + at, sizeof text - at, i);
    at += (size_t)snprintf(text + at, sizeof text - at, "}}}");
    return pph_tokenizer_parse(out, "fake", text, at, err);
}

static pph_status estimate(const pph_engine_spec *spec, uint64_t *bytes, uint64_t *file_bytes,
                           pph_error *err)
{
    *bytes = 1 << 20;
    *file_bytes = 0;
    if (strncmp(spec->model, "lang", 4) != 0)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: no such fake", spec->model);
    return PPH_OK;
}

static void close_engine(pph_engine **engine)
{
    pph_engine *gone = PPH_TAKE(*engine);
    if (!gone)
        return;
    lang_lock();
    lang.closes += gone->info.vocabulary > 0;
    lang_unlock();
    pph_kv_cache_free(&gone->cache);
    pph_sight_deinit(&gone->sight);
    pph_tokenizer_close(&gone->tokenizer);
    pph_free(gone);
}

/* Under the lock. */
static bool its_turn(size_t count, size_t every)
{
    return every && count % every == 0;
}

static pph_status open_sight(pph_sight *out, const fake_language *now, pph_error *err)
{
    if (now->blind) {
        (void)PPH_FAIL(&out->why, PPH_UNSUPPORTED, "the fake is blind");
        return PPH_OK;
    }
    out->rows = LANG_ROWS;
    out->pixels = 1;
    return pph_picture_cache_new(&out->cache, now->picture_room, err);
}

static pph_status open_engine(pph_engine **out, const pph_engine_spec *spec, pph_error *err)
{
    lang_lock();
    lang.loads_begun++;
    pthread_cond_broadcast(&changed);
    while (lang.hold_loads)
        pthread_cond_wait(&changed, &mutex);
    pph_status status = lang.load_failures > 0 ? lang.load_status : PPH_OK;
    lang.load_failures -= lang.load_failures > 0;
    if (its_turn(lang.loads_begun, lang.fail_load_every))
        status = PPH_CORRUPT;
    fake_language now = lang;
    lang_unlock();
    if (status != PPH_OK)
        return PPH_FAIL(err, status, "%s: this load was to fail", spec->model);
    PPH_AUTO(close_engine) pph_engine *engine = pph_alloc(sizeof *engine);
    if (!engine)
        return PPH_FAIL_MEMORY(err, sizeof *engine);
    PPH_TRY(open_tokenizer(&engine->tokenizer, err));
    PPH_TRY(pph_kv_cache_new(&engine->cache, 1, &layout, now.pages, err));
    PPH_TRY(open_sight(&engine->sight, &now, err));
    engine->info = (pph_decoder_info){
        .architecture = "fake",
        .width = 4,
        .vocabulary = LANG_VOCABULARY,
        .context = now.context,
        .bos = -1,
        .ends = ends,
        .end_count = 1,
        .chat_template = now.chat_template,
    };
    lang_lock();
    engine->number = ++lang.opens;
    lang_unlock();
    *out = PPH_TAKE(engine);
    return PPH_OK;
}

static void bytes(const pph_engine *engine, uint64_t *weights, uint64_t *activations)
{
    *weights = 1 << 20;
    pph_kv_counts counts = pph_kv_cache_counts(engine->cache);
    *activations = (counts.held + counts.kept) * counts.page_bytes;
}

static const pph_decoder_info *describe(const pph_engine *engine)
{
    return &engine->info;
}

static const pph_tokenizer *tokenizer(const pph_engine *engine)
{
    return engine->tokenizer;
}

static const pph_sight *sight(const pph_engine *engine)
{
    return &engine->sight;
}

static pph_status prepare_picture(const pph_engine *engine, pph_str bytes, size_t max_pixels,
                                  float **pixels, pph_error *err)
{
    (void)max_pixels;
    if (bytes.size != 2 || bytes.data[0] == '!')
        return PPH_FAIL(err, PPH_CORRUPT, "this is no picture");
    *pixels = pph_spare_take(engine->sight.pixels * sizeof **pixels);
    if (!*pixels)
        return PPH_FAIL_MEMORY(err, sizeof **pixels);
    **pixels = (float)bytes.data[1];
    lang_lock();
    lang.pictures_read++;
    lang_unlock();
    return PPH_OK;
}

/* Under the lock: a look has begun, and this is how it ends. */
static pph_status live_through_look(const pph_engine *engine)
{
    lang.looks_begun++;
    if (lang.steps_begun < LANG_STEPS) {
        lang.log[lang.steps_begun].sequences = 1;
        lang.log[lang.steps_begun].tokens = 0;
    }
    lang.steps_begun++;
    lang.inside++;
    lang.most_inside = PPH_MAX(lang.most_inside, lang.inside);
    pthread_cond_broadcast(&changed);
    while (lang.hold_looks || (lang.hold_first && engine->number == 1))
        pthread_cond_wait(&changed, &mutex);
    lang.inside--;
    if (its_turn(lang.steps_begun, lang.fail_step_every))
        return PPH_MODEL_ERROR;
    if (lang.look_failures <= 0)
        return PPH_OK;
    lang.look_failures--;
    return lang.look_status;
}

static pph_status look(pph_engine *engine, const float *pixels, float *rows, pph_error *err)
{
    lang_lock();
    pph_status status = live_through_look(engine);
    lang.looks += status == PPH_OK;
    lang_unlock();
    if (status != PPH_OK)
        return PPH_FAIL(err, status, "this look was to fail");
    for (size_t i = 0; i < LANG_ROWS; i++)
        for (size_t d = 0; d < engine->info.width; d++)
            rows[i * engine->info.width + d] = d ? 0 : pixels[0] + (float)i;
    return PPH_OK;
}

static pph_kv_cache *cache(pph_engine *engine)
{
    return engine->cache;
}

static void write_tokens(const pph_decoder_input *input)
{
    size_t at = pph_kv_sequence_length(input->sequence);
    void *const *pages = pph_kv_sequence_pages(input->sequence, 0);
    for (size_t i = 0; i < input->count; i++, at++) {
        float row[8] = {input->ids ? (float)input->ids[i] : input->embeddings[i * 4]};
        const pph_rows rows = {.data = row, .dtype = PPH_F32, .stride = 8};
        pph_kv_store(&layout, pages[at / PPH_KV_TOKENS], at % PPH_KV_TOKENS, 1, 0, 1, rows, rows);
    }
}

static context read_tokens(const pph_decoder_input *input)
{
    context c = {.hash = 2166136261u};
    size_t count = pph_kv_sequence_length(input->sequence) + input->count;
    void *const *pages = pph_kv_sequence_pages(input->sequence, 0);
    for (size_t i = 0; i < count; i++) {
        float key[8], value[8];
        pph_kv_load(&layout, pages[i / PPH_KV_TOKENS], i % PPH_KV_TOKENS, 0, key, value);
        take(&c, (int32_t)key[0]);
    }
    return c;
}

/* Under the lock: a step of so many has begun. */
static pph_status live_through_step(const pph_engine *engine, const pph_decoder_input *inputs,
                                    size_t count)
{
    size_t tokens = 0;
    for (size_t i = 0; i < count; i++)
        tokens += inputs[i].count;
    if (lang.steps_begun < LANG_STEPS) {
        lang.log[lang.steps_begun].sequences = count;
        lang.log[lang.steps_begun].tokens = tokens;
    }
    lang.steps_begun++;
    lang.tokens += tokens;
    lang.most_sequences = PPH_MAX(lang.most_sequences, count);
    lang.most_tokens = PPH_MAX(lang.most_tokens, tokens);
    lang.inside++;
    lang.most_inside = PPH_MAX(lang.most_inside, lang.inside);
    pthread_cond_broadcast(&changed);
    while (lang.hold_steps || (lang.hold_first && engine->number == 1))
        pthread_cond_wait(&changed, &mutex);
    if (its_turn(lang.steps_begun, lang.fail_step_every))
        return PPH_MODEL_ERROR;
    if (lang.step_failures <= 0)
        return PPH_OK;
    lang.step_failures--;
    return lang.step_status;
}

static pph_status step(pph_engine *engine, const pph_decoder_input *inputs, size_t count,
                       float *logits, pph_error *err)
{
    lang_lock();
    pph_status status = live_through_step(engine, inputs, count);
    lang.steps++;
    lang.inside--;
    lang_unlock();
    if (status != PPH_OK)
        return PPH_FAIL(err, status, "this step was to fail");
    for (size_t i = 0; i < count; i++) {
        write_tokens(&inputs[i]);
        context c = read_tokens(&inputs[i]);
        if (c.seen[LANG_REFUSED])
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "this sequence was to fail");
        if (!inputs[i].logits)
            continue;
        for (size_t v = 0; v < LANG_VOCABULARY; v++)
            logits[v] = c.seen[LANG_NAN] ? NAN : -(float)(v % 7);
        logits[next_of(&c)] = c.seen[LANG_NAN] ? NAN : 5;
        logits += LANG_VOCABULARY;
    }
    return PPH_OK;
}

const pph_language_kind lang_kind = {
    .engine = {.work = &pph_generating_work,
               .estimate = estimate,
               .open = open_engine,
               .close = close_engine,
               .bytes = bytes},
    .describe = describe,
    .tokenizer = tokenizer,
    .sight = sight,
    .prepare_picture = prepare_picture,
    .look = look,
    .cache = cache,
    .step = step,
};
