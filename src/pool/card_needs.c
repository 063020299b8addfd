/* Counts tensors, and what they will take in memory. Every sum stops at UINT64_MAX instead of
 * wrapping, for the shapes are the files' claims. Stateless. */
#include "pool/card_needs.h"

#include "base/str.h"
#include "compute/cpu.h"
#include "compute/precision.h"
#include <stdio.h>
#include <string.h>

/* VISION_ROWS, TEXT_ROWS, BERT_ROWS: of a member's batch; BLOCK: rows that go through a layer together;
 * ROOM: activations of a call at most. The model room's numbers. */
enum {
    VISION_ROWS = 256,
    TEXT_ROWS = 320,
    BERT_ROWS = 1024,
    BLOCK = 136,
    PREFILL_ROWS = 512,
    CONTEXT = 4096
};
#define ROOM ((uint64_t)96 << 20)

/* Scratch that is there before the first call, and structures. */
#define BASE ((uint64_t)256 << 10)

/* Sums of products in 8 bits, for each member. */
#define SUMS ((uint64_t)512 << 10)

uint64_t pph_card_add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

uint64_t pph_card_mul(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static void add_to(uint64_t *sum, uint64_t more)
{
    *sum = pph_card_add(*sum, more);
}

/* ---- tensors ---- */

typedef enum role { BUFFER, VECTOR, TABLE, HEAD, PATCH, MATRIX } role;

static bool ends_with_one_of(pph_str name, const char *const *endings)
{
    for (; *endings; endings++)
        if (pph_str_ends(name, *endings))
            return true;
    return false;
}

static bool is_integer(pph_dtype dtype)
{
    return dtype != PPH_F32 && dtype != PPH_F16 && dtype != PPH_BF16 && dtype != PPH_F64 &&
           pph_dtype_size(dtype);
}

static role role_of(const pph_tensor *tensor)
{
    static const char *const buffers[] = {"position_ids", "inv_freq", "rope_freqs.weight", NULL};
    static const char *const tables[] = {
        "token_embedding.weight", "embed_tokens.weight", "token_embd.weight",
        "word_embeddings.weight", "wte.weight",          NULL};
    static const char *const heads[] = {"visual_projection.weight", "text_projection.weight", NULL};
    static const char *const patches[] = {"patch_embedding.weight", "patch_embd.weight", NULL};
    pph_str name = pph_str_view(tensor->name);
    if (is_integer(tensor->dtype) || ends_with_one_of(name, buffers))
        return BUFFER;
    if (tensor->rank <= 1 || strstr(tensor->name, "position_emb") ||
        strstr(tensor->name, "position_embd"))
        return VECTOR;
    if (ends_with_one_of(name, tables))
        return TABLE;
    if (ends_with_one_of(name, heads))
        return HEAD;
    return ends_with_one_of(name, patches) ? PATCH : MATRIX;
}

/* What is no matrix is the same however the model is quantised: as with INT8. */
static void need(pph_card_tally *tally, uint64_t f32, uint64_t bf16, uint64_t int8)
{
    for (int q = 0; q < PPH_QUANTIZE_COUNT; q++)
        add_to(&tally->quantised[q], int8);
    add_to(&tally->needs[PPH_PRECISION_F32], f32);
    add_to(&tally->needs[PPH_PRECISION_BF16], bf16);
    add_to(&tally->needs[PPH_PRECISION_INT8], int8);
}

/* What a matrix is for, where that matters when a model is quantised: the logits' is Q8_0 at the least, one
 * that looks at pictures is not quantised. */
typedef enum purpose { LAYER, LOGITS, LOOKING } purpose;

static purpose purpose_of(const pph_tensor *tensor)
{
    pph_str name = pph_str_view(tensor->name);
    if (pph_str_ends(name, "lm_head.weight") || pph_str_equal(name, PPH_STR("output.weight")))
        return LOGITS;
    bool looks = strstr(tensor->name, "vision_") || strstr(tensor->name, "multi_modal_projector") ||
                 pph_str_starts(name, "v.") || pph_str_starts(name, "mm.");
    return looks ? LOOKING : LAYER;
}

static void need_matrix(pph_card_tally *tally, uint64_t elements, uint64_t rows, uint64_t blocks,
                        purpose is_for)
{
    pph_precision fast = pph_precision_choose(PPH_PRECISION_AUTO, pph_cpu_features());
    uint64_t int8 = blocks ? blocks : pph_card_add(elements, pph_card_mul(rows, 8));
    uint64_t q8 = blocks ? blocks : pph_card_mul(elements / 32, 34);
    uint64_t q4 = blocks ? blocks : pph_card_mul(elements / 32, 18);
    if (is_for == LOGITS)
        q4 = q8;
    if (is_for == LOOKING)
        q8 = q4 = pph_card_mul(elements, fast == PPH_PRECISION_BF16 ? 2 : 4);
    add_to(&tally->needs[PPH_PRECISION_F32], pph_card_mul(elements, 4));
    add_to(&tally->needs[PPH_PRECISION_BF16], blocks ? blocks : pph_card_mul(elements, 2));
    add_to(&tally->needs[PPH_PRECISION_INT8], int8);
    add_to(&tally->quantised[PPH_QUANTIZE_NONE], int8);
    add_to(&tally->quantised[PPH_QUANTIZE_Q8_0], q8);
    add_to(&tally->quantised[PPH_QUANTIZE_Q4_0], q4);
}

static void count_type(pph_card *card, const char *stored, uint64_t bytes)
{
    char name[sizeof card->types[0].name];
    size_t i = 0;
    snprintf(name, sizeof name, "%.*s", (int)sizeof name - 1, stored);
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7F || *c == '"' || *c == '\\')
            *c = '?';
    while (i < card->type_count && strcmp(card->types[i].name, name) != 0)
        i++;
    if (i == PPH_CARD_TYPES) {
        i--;
        memcpy(card->types[i].name, "other", sizeof "other");
    } else if (i == card->type_count) {
        card->type_count++;
        memcpy(card->types[i].name, name, sizeof name);
    }
    card->types[i].tensors++;
    add_to(&card->types[i].bytes, bytes);
}

void pph_card_count(pph_card *card, pph_card_tally *tally, const pph_tensor *tensor)
{
    uint64_t elements = 1;
    for (int i = 0; i < tensor->rank; i++)
        elements = pph_card_mul(elements, (uint64_t)tensor->shape[i]);
    count_type(card, tensor->stored, tensor->bytes);
    add_to(&card->file_bytes, tensor->bytes);
    role is = role_of(tensor);
    if (is == BUFFER || !elements)
        return;
    add_to(&card->parameters, elements);
    uint64_t rows = tensor->rank ? (uint64_t)tensor->shape[0] : 1, wide = pph_card_mul(elements, 4);
    switch (is) {
    case TABLE:
        tally->table_elements = elements;
        tally->table_rows = rows;
        need(tally, tensor->bytes, tensor->bytes, tensor->bytes);
        break;
    case PATCH:
        need(tally, wide, wide / 2, wide / 2);
        break;
    case MATRIX:
        tally->output |= purpose_of(tensor) == LOGITS;
        need_matrix(tally, elements, rows, pph_dtype_size(tensor->dtype) ? 0 : tensor->bytes,
                    purpose_of(tensor));
        break;
    default:
        need(tally, wide, wide, wide);
    }
}

/* ---- working memory ---- */

/* Bytes of a number of the activations between products. */
static uint64_t element(int precision)
{
    return precision == PPH_PRECISION_F32 ? 4 : 2;
}

/* rows  of a batch over all members;  inputs  of the product that makes them, 0 for none */
static uint64_t tower_work(const pph_clip_tower *tower, uint64_t rows, uint64_t inputs,
                           uint64_t threads, uint64_t e)
{
    uint64_t width = (uint64_t)tower->width, hidden = (uint64_t)tower->intermediate;
    uint64_t room = PPH_MIN(rows * width * (4 + 4 * e), ROOM);
    return 3 * (room + threads * BLOCK * (2 * width + hidden + inputs) * 4);
}

static uint64_t clip_work(const pph_card *card, const pph_clip_config *config, uint64_t threads,
                          uint64_t e)
{
    uint64_t most = 0, work;
    if (card->capabilities & PPH_CARD_IMAGES) {
        uint64_t across = (uint64_t)(config->image / config->patch),
                 patch = (uint64_t)config->patch;
        uint64_t tokens = across * across + 1;
        most = tower_work(&config->vision, threads * PPH_MAX(tokens, (uint64_t)VISION_ROWS),
                          3 * patch * patch, threads, e);
    }
    if (card->capabilities & PPH_CARD_TEXTS) {
        uint64_t rows = PPH_MAX(threads * TEXT_ROWS, (uint64_t)config->context);
        work = tower_work(&config->text, rows, 0, threads, e);
        most = PPH_MAX(most, work);
    }
    return most;
}

/* Needs of every precision are the weights' and the working memory; AUTO's are those of its choice. */
static void finish(pph_card *card, const pph_card_tally *tally, const uint64_t *work)
{
    for (int p = PPH_PRECISION_F32; p < PPH_PRECISION_COUNT; p++)
        card->needs[p] = pph_card_add(tally->needs[p], pph_card_add(work[p], BASE));
    for (int q = 0; q < PPH_QUANTIZE_COUNT; q++)
        card->quantised[q] =
            pph_card_add(tally->quantised[q], pph_card_add(work[PPH_PRECISION_INT8], BASE));
    card->needs[PPH_PRECISION_AUTO] =
        card->needs[pph_precision_choose(PPH_PRECISION_AUTO, pph_cpu_features())];
}

void pph_card_need_clip(pph_card *card, const pph_card_tally *tally, const pph_clip_config *config,
                        size_t threads)
{
    uint64_t work[PPH_PRECISION_COUNT] = {0};
    for (int p = PPH_PRECISION_F32; p < PPH_PRECISION_COUNT; p++)
        work[p] = clip_work(card, config, threads, element(p));
    work[PPH_PRECISION_INT8] += threads * SUMS;
    finish(card, tally, work);
}

/* The room of a batch, blocks of rows between products, and what attention packs of a sequence. */
static uint64_t bert_work(const pph_bert_config *config, uint64_t context, uint64_t threads,
                          uint64_t e)
{
    uint64_t width = (uint64_t)config->width, hidden = (uint64_t)config->intermediate;
    uint64_t rows = PPH_MAX(threads * BERT_ROWS, context), row = width * (8 + 5 * e) + 64;
    uint64_t room = PPH_MAX(PPH_MIN(rows * row, ROOM), context * row);
    uint64_t block = (config->gated ? 3 : 1) * hidden + 3 * width;
    uint64_t head = width / (uint64_t)config->heads + 64;
    return 3 * (room + threads * (2 * BLOCK * block * 4 + context * (head * 12 + 200)));
}

void pph_card_need_bert(pph_card *card, const pph_card_tally *tally, const pph_bert_config *config,
                        size_t threads)
{
    uint64_t work[PPH_PRECISION_COUNT] = {0};
    uint64_t context = card->context ? card->context : 1;
    bool distances = config->kind == PPH_BERT_ALIBI || config->kind == PPH_BERT_MPNET;
    for (int p = PPH_PRECISION_F32; p < PPH_PRECISION_COUNT; p++)
        work[p] = bert_work(config, context, threads, element(p)) +
                  (distances ? (uint64_t)config->heads * 8 * context : 0);
    work[PPH_PRECISION_INT8] += threads * SUMS;
    finish(card, tally, work);
}

/* Of one picture, that the whole team looks at. */
static uint64_t sight_work(const pph_llava_config *sight, uint64_t threads, uint64_t e)
{
    if (!sight->rows)
        return 0;
    uint64_t across = (uint64_t)(sight->tower.image / sight->tower.patch),
             patch = (uint64_t)sight->tower.patch;
    return tower_work(&sight->tower.vision, across * across + 1, 3 * patch * patch, threads, e);
}

void pph_card_need_shape(pph_card *card, const pph_card_tally *tally, const pph_card_shape *shape,
                         size_t threads)
{
    pph_card_tally all = *tally;
    bool writes = card->capabilities & PPH_CARD_GENERATION;
    if (writes && !all.output && all.table_elements)
        need_matrix(&all, all.table_elements, all.table_rows, 0, LOGITS);
    uint64_t row =
        pph_card_add(pph_card_mul(shape->width, 6), pph_card_mul(shape->intermediate, 2));
    uint64_t bytes = pph_card_mul(row, PREFILL_ROWS * 4);
    bytes = pph_card_add(bytes, writes ? pph_card_mul(shape->vocabulary, 4) : 0);
    uint64_t head = shape->head ? shape->head : shape->heads ? shape->width / shape->heads : 0;
    uint64_t kv_heads = shape->kv_heads ? shape->kv_heads : shape->heads;
    uint64_t context = shape->context ? PPH_MIN(shape->context, (uint64_t)CONTEXT) : CONTEXT;
    if (writes) /* keys and values of 2 bytes */
        bytes = pph_card_add(bytes, pph_card_mul(pph_card_mul(shape->layers, 4 * context),
                                                 pph_card_mul(kv_heads, head)));
    uint64_t work[PPH_PRECISION_COUNT];
    for (int p = 0; p < PPH_PRECISION_COUNT; p++)
        work[p] = pph_card_add(bytes, sight_work(&shape->sight, threads, element(p)));
    finish(card, &all, work);
}
