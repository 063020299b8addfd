/* Describes a model from config.json or GGUF keys and the headers of its weights. Refuses what is no
 * model at all; what does not run is described with the reason. Stateless. */
#include "pool/card_needs.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"
#include "model/bert_layout.h"
#include "model/decoder_embedder.h"
#include "model/model.h"
#include "pool/gguf_folder.h"
#include "pool/sight.h"
#include "weights/decoder_config.h"
#include "weights/folder.h"
#include "weights/gguf.h"
#include "weights/weights.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_LIMIT ((size_t)16 << 20)

/* SHARDS: parts of one GGUF model. */
enum { SHARDS = 1000 };

enum {
    BOTH = PPH_CARD_IMAGES | PPH_CARD_TEXTS,
    WRITES = PPH_CARD_GENERATION,
    LOOKS = PPH_CARD_VISION | PPH_CARD_GENERATION,
};

/* What architectures do, by model_type or general.architecture. Those of which it is not listed are
 * judged by the class that config.json names. */
static const struct {
    const char *name;
    unsigned capabilities;
} known[] = {
    {"clip", BOTH},
    {"clip_vision_model", PPH_CARD_IMAGES},
    {"clip_text_model", PPH_CARD_TEXTS},
    {"siglip", BOTH},
    {"siglip2", BOTH},
    {"align", BOTH},
    {"altclip", BOTH},
    {"chinese_clip", BOTH},
    {"jina_clip", BOTH},
    {"dinov2", PPH_CARD_IMAGES},
    {"dinov3_vit", PPH_CARD_IMAGES},
    {"vit", PPH_CARD_IMAGES},
    {"bert", PPH_CARD_TEXTS},
    {"roberta", PPH_CARD_TEXTS},
    {"xlm-roberta", PPH_CARD_TEXTS},
    {"distilbert", PPH_CARD_TEXTS},
    {"mpnet", PPH_CARD_TEXTS},
    {"camembert", PPH_CARD_TEXTS},
    {"jina_bert", PPH_CARD_TEXTS},
    {"modernbert", PPH_CARD_TEXTS},
    {"nomic_bert", PPH_CARD_TEXTS},
    {"nomic-bert", PPH_CARD_TEXTS},
    {"nomic-bert-moe", PPH_CARD_TEXTS},
    {"jina-bert-v2", PPH_CARD_TEXTS},
    {"new", PPH_CARD_TEXTS},
    {"llama", WRITES},
    {"llama4_text", WRITES},
    {"mistral", WRITES},
    {"mixtral", WRITES},
    {"qwen2", WRITES},
    {"qwen2moe", WRITES},
    {"qwen2_moe", WRITES},
    {"qwen3", WRITES},
    {"qwen3moe", WRITES},
    {"qwen3_moe", WRITES},
    {"phi", WRITES},
    {"phi2", WRITES},
    {"phi3", WRITES},
    {"gemma", WRITES},
    {"gemma2", WRITES},
    {"gemma3_text", WRITES},
    {"gpt2", WRITES},
    {"gpt_neox", WRITES},
    {"gptneox", WRITES},
    {"falcon", WRITES},
    {"starcoder", WRITES},
    {"starcoder2", WRITES},
    {"gpt_bigcode", WRITES},
    {"olmo", WRITES},
    {"olmo2", WRITES},
    {"granite", WRITES},
    {"cohere", WRITES},
    {"cohere2", WRITES},
    {"command-r", WRITES},
    {"deepseek2", WRITES},
    {"deepseek_v2", WRITES},
    {"deepseek_v3", WRITES},
    {"llava", LOOKS},
    {"llava_next", LOOKS},
    {"llava_onevision", LOOKS},
    {"mllama", LOOKS},
    {"qwen2_vl", LOOKS},
    {"qwen2_5_vl", LOOKS},
    {"qwen3_vl", LOOKS},
    {"paligemma", LOOKS},
    {"idefics3", LOOKS},
    {"smolvlm", LOOKS},
    {"pixtral", LOOKS},
};

const char *pph_card_capability(unsigned bit)
{
    switch (bit) {
    case PPH_CARD_IMAGES:
        return "image-embedding";
    case PPH_CARD_TEXTS:
        return "text-embedding";
    case PPH_CARD_VISION:
        return "vision";
    case PPH_CARD_GENERATION:
        return "generation";
    case PPH_CARD_RERANK:
        return "rerank";
    default:
        return "";
    }
}

void pph_card_free(pph_card **card)
{
    pph_card *c = PPH_TAKE(*card);
    if (!c)
        return;
    pph_free(c->name);
    pph_free(c->path);
    pph_free(c);
}

/* ---- small things ---- */

__attribute__((format(printf, 2, 3))) static void give_reason(pph_card *card, const char *format,
                                                              ...)
{
    if (card->reason[0]) /* the first is the one that matters */
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(card->reason, sizeof card->reason, format, arguments);
    va_end(arguments);
}

/* The weights' failure is a reason; only memory's is ours. */
static pph_status take_reason(pph_card *card, pph_status status, const pph_error *error,
                              pph_error *err)
{
    if (status == PPH_OUT_OF_MEMORY)
        return PPH_FAIL(err, status, "%s", error->message);
    if (status != PPH_OK) {
        card->supported = false;
        give_reason(card, "%s", error->message);
    }
    return PPH_OK;
}

static void name_architecture(pph_card *card, pph_str name)
{
    size_t size = PPH_MIN(name.size, sizeof card->architecture - 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        card->architecture[i] = c < 0x20 || c >= 0x7F ? '?' : name.data[i];
    }
    card->architecture[size] = 0;
}

static bool know(pph_card *card)
{
    for (size_t i = 0; i < PPH_COUNT(known); i++)
        if (strcmp(card->architecture, known[i].name) == 0) {
            card->capabilities = known[i].capabilities;
            return true;
        }
    return false;
}

/* Whether folder/name is a file. A path that is too long for the system is none. */
static bool has_file(const char *folder, const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && (size_t)length < sizeof path && pph_file_look(path) == PPH_FILE_REGULAR;
}

static int type_order(const void *a, const void *b)
{
    const pph_card_type *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return strcmp(x->name, y->name);
}

/* ---- CLIP ---- */

/* Whether a tower is all there: its first tensor, its projection, and types that are computed with. */
static bool has_tower(const pph_weights *weights, const char *prefix, const char *tower,
                      const char *mark, const char *projection)
{
    char name[128], start[64];
    snprintf(name, sizeof name, "%s%s%s", prefix, tower, mark);
    if (!pph_weights_find(weights, name))
        return false;
    snprintf(name, sizeof name, "%s%s", prefix, projection);
    const pph_tensor *tensor = pph_weights_find(weights, name);
    if (!tensor)
        return false;
    snprintf(start, sizeof start, "%s%s", prefix, tower);
    for (size_t i = 0; (tensor = pph_weights_at(weights, i)); i++) {
        pph_str whole = pph_str_view(tensor->name);
        if ((pph_str_starts(whole, start) || pph_str_equal(whole, pph_str_view(name))) &&
            !pph_str_ends(whole, "position_ids") && tensor->dtype != PPH_F32 &&
            tensor->dtype != PPH_F16 && tensor->dtype != PPH_BF16)
            return false;
    }
    return true;
}

static unsigned towers_of(const pph_weights *weights, const pph_clip_config *config)
{
    static const char *const prefixes[] = {"", "model."};
    unsigned towers = 0;
    for (size_t i = 0; !towers && i < PPH_COUNT(prefixes); i++) {
        if (config->has_vision && config->channels == 3 &&
            has_tower(weights, prefixes[i], "vision_model.", "embeddings.class_embedding",
                      "visual_projection.weight"))
            towers |= PPH_CARD_IMAGES;
        if (config->has_text &&
            has_tower(weights, prefixes[i], "text_model.", "embeddings.token_embedding.weight",
                      "text_projection.weight"))
            towers |= PPH_CARD_TEXTS;
    }
    return towers;
}

static bool has_tokenizer(const char *folder)
{
    return has_file(folder, "tokenizer.json") || has_file(folder, "tokenizer.model") ||
           has_file(folder, "spiece.model") || has_file(folder, "vocab.txt") ||
           (has_file(folder, "vocab.json") && has_file(folder, "merges.txt"));
}

static pph_status count_weights(pph_card *card, pph_card_tally *tally, pph_weights **weights,
                                pph_error *err)
{
    pph_error error;
    pph_status status = pph_weights_open(weights, card->path, &error);
    for (size_t i = 0; status == PPH_OK && i < pph_weights_count(*weights); i++)
        pph_card_count(card, tally, pph_weights_at(*weights, i));
    return take_reason(card, status, &error, err);
}

static pph_status read_clip(pph_card *card, pph_error *err)
{
    pph_clip_config config;
    pph_card_tally tally = {0};
    pph_error error;
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    pph_status status = pph_config_read_clip(&config, card->path, &error);
    PPH_TRY(take_reason(card, status, &error, err));
    if (status != PPH_OK) {
        card->capabilities = 0;
        return PPH_OK;
    }
    PPH_TRY(count_weights(card, &tally, &weights, err));
    unsigned wanted = card->capabilities;
    card->capabilities = weights ? towers_of(weights, &config) : 0;
    if (weights && !card->capabilities)
        card->supported = false;
    if (wanted & ~card->capabilities & PPH_CARD_IMAGES)
        give_reason(card, "has no whole picture tower: pictures are not embedded");
    if (wanted & ~card->capabilities & PPH_CARD_TEXTS)
        give_reason(card, "has no whole text tower: texts are not embedded");
    if ((card->capabilities & PPH_CARD_TEXTS) && !has_tokenizer(card->path)) {
        card->capabilities &= ~(unsigned)PPH_CARD_TEXTS;
        give_reason(card, "has no tokenizer.json, nor vocab.json and merges.txt: texts are not "
                          "embedded");
    }
    card->dimensions =
        (size_t)(config.has_vision ? config.vision.projection : config.text.projection);
    card->image_side = card->capabilities & PPH_CARD_IMAGES ? (size_t)config.image : 0;
    card->context = card->capabilities & PPH_CARD_TEXTS ? (size_t)config.context : 0;
    pph_card_need_clip(card, &tally, &config, (size_t)pph_cpu_count());
    return PPH_OK;
}

/* ---- BERT's family ---- */

/* The length of the vectors that are made of an encoder's rows. */
static size_t vector_of(size_t width, const pph_sentence *sentence)
{
    size_t made = width * (size_t)__builtin_popcount(sentence->poolings);
    for (size_t i = 0; i < sentence->step_count; i++)
        if (!sentence->steps[i].normalize)
            made = (size_t)sentence->steps[i].outputs;
    return made;
}

static pph_status read_bert(pph_card *card, pph_error *err)
{
    pph_bert_config config;
    pph_card_tally tally = {0};
    pph_error error;
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    PPH_AUTO(pph_sentence_free) pph_sentence *sentence = NULL;
    card->capabilities = 0;
    pph_status status = pph_config_read_bert(&config, card->path, &error);
    if (status == PPH_OK)
        status = pph_sentence_read(&sentence, card->path, &error);
    PPH_TRY(take_reason(card, status, &error, err));
    PPH_TRY(count_weights(card, &tally, &weights, err));
    if (status != PPH_OK)
        return PPH_OK;
    const pph_bert_layout layout = pph_bert_layout_of(&config);
    if (weights && !pph_bert_prefix(weights, &layout)) {
        card->supported = false;
        give_reason(card, "has no tensor '%s.weight'", layout.words);
    }
    card->capabilities = config.labels ? PPH_CARD_RERANK : PPH_CARD_TEXTS;
    if (config.labels > 1) {
        card->capabilities = 0;
        give_reason(card, "gives pairs of texts %d labels; one that ranks gives one",
                    config.labels);
    } else if (card->supported && !has_tokenizer(card->path)) {
        card->capabilities = 0;
        give_reason(card, "has no tokenizer.json: texts are not taken");
    }
    card->dimensions =
        config.labels ? (size_t)config.labels : vector_of((size_t)config.width, sentence);
    card->context = (size_t)config.context;
    if (sentence->max_tokens)
        card->context = PPH_MIN(card->context, sentence->max_tokens);
    pph_card_need_bert(card, &tally, &config, (size_t)pph_cpu_count());
    return PPH_OK;
}

/* ---- other config.json ---- */

/* The first of these members that is a whole number from 1 on; 0 when none is. Names end with NULL. */
static uint64_t first_number(const pph_json *from, const char *const *names)
{
    for (; *names; names++) {
        int64_t number = pph_json_integer(pph_json_get(from, *names));
        if (number > 0)
            return (uint64_t)number;
    }
    return 0;
}

#define NUMBER(from, ...) first_number(from, (const char *const[]){__VA_ARGS__, NULL})

static pph_card_shape shape_of(const pph_json *from)
{
    return (pph_card_shape){
        .layers = NUMBER(from, "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        .width = NUMBER(from, "hidden_size", "n_embd", "d_model", "dim"),
        .heads = NUMBER(from, "num_attention_heads", "n_head", "n_heads"),
        .kv_heads = NUMBER(from, "num_key_value_heads", "num_kv_heads", "n_head_kv"),
        .head = NUMBER(from, "head_dim"),
        .intermediate = NUMBER(from, "intermediate_size", "n_inner", "ffn_dim", "hidden_dim"),
        .vocabulary = NUMBER(from, "vocab_size"),
        .context = NUMBER(from, "max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"),
    };
}

/* What an unlisted model_type does, by the class that it is published for. */
static unsigned judge(const pph_json *root)
{
    pph_str class = pph_json_string(pph_json_at(pph_json_get(root, "architectures"), 0));
    if (pph_str_ends(class, "ForCausalLM"))
        return WRITES;
    if (pph_str_ends(class, "ForConditionalGeneration"))
        return pph_json_is_object(pph_json_get(root, "vision_config")) ? LOOKS : WRITES;
    return 0;
}

/* A folder of sentence-transformers: it embeds texts, and may say how long they may be. */
static pph_status read_sentence(pph_card *card, pph_error *err)
{
    if (!has_file(card->path, "modules.json"))
        return PPH_OK;
    card->capabilities = PPH_CARD_TEXTS;
    PPH_AUTO(pph_free_at) char *path = pph_path_join(card->path, "sentence_bert_config.json");
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(card->path) + 32);
    pph_error error;
    pph_status status = pph_file_look(path) == PPH_FILE_REGULAR
                            ? pph_json_load(&root, path, CONFIG_LIMIT, &error)
                            : PPH_OK;
    PPH_TRY(take_reason(card, status, &error, err));
    uint64_t most = NUMBER(root, "max_seq_length");
    if (most)
        card->context = (size_t)most;
    return PPH_OK;
}

/* ---- decoders ---- */

static void judge_decoder(pph_card *card, bool tokenizer)
{
    card->supported = tokenizer && !card->reason[0];
    if (!tokenizer)
        give_reason(card, "has no tokenizer: nothing can be written with it");
}

/* One that runs sees by what its files have; else it writes alone, and says why. *out stays {0} then. */
static pph_status judge_sight(pph_card *card, pph_llava_config *out, pph_error *err)
{
    pph_error why;
    pph_llava_config config;
    if (!card->supported || !(card->capabilities & PPH_CARD_VISION))
        return PPH_OK;
    pph_status status = pph_sight_check(&config, card->path, card->dimensions, &why);
    if (status == PPH_OUT_OF_MEMORY)
        return PPH_FAIL(err, status, "%s", why.message);
    if (status == PPH_OK) {
        *out = config;
        card->image_side = (size_t)config.tower.image;
        return PPH_OK;
    }
    card->capabilities &= ~(unsigned)PPH_CARD_VISION;
    card->image_side = 0;
    give_reason(card, "writes texts alone: %s", why.message);
    return PPH_OK;
}

static pph_status read_decoder(pph_card *card, pph_error *err)
{
    pph_decoder_config config;
    pph_error error;
    pph_status status = pph_decoder_config_read(&config, card->path, &error);
    PPH_TRY(take_reason(card, status, &error, err));
    judge_decoder(card, has_tokenizer(card->path));
    return PPH_OK;
}

/* A decoder of sentence-transformers, which embeds. */
static pph_status read_embedding_decoder(pph_card *card, pph_error *err)
{
    pph_decoder_config config;
    pph_error error;
    PPH_AUTO(pph_sentence_free) pph_sentence *sentence = NULL;
    pph_status status = pph_decoder_config_read(&config, card->path, &error);
    if (status == PPH_OK)
        status = pph_sentence_read(&sentence, card->path, &error);
    PPH_TRY(take_reason(card, status, &error, err));
    card->supported = status == PPH_OK;
    if (status != PPH_OK)
        return PPH_OK;
    card->dimensions = vector_of((size_t)config.width, sentence);
    card->context = PPH_MIN((size_t)config.context, (size_t)PPH_DECODER_EMBEDDER_TOKENS);
    if (sentence->max_tokens)
        card->context = PPH_MIN(card->context, sentence->max_tokens);
    if (!has_tokenizer(card->path)) {
        card->supported = false;
        give_reason(card, "has no tokenizer: texts are not taken");
    }
    return PPH_OK;
}

static pph_status read_gguf_decoder(pph_card *card, pph_error *err)
{
    PPH_AUTO(pph_gguf_files_close) pph_gguf_files files = {0};
    pph_decoder_config config;
    pph_error error;
    pph_status status = pph_gguf_files_open(&files, card->path, &error);
    if (status == PPH_OK)
        status = pph_decoder_config_gguf(&config, &files, &error);
    PPH_TRY(take_reason(card, status, &error, err));
    judge_decoder(card, status == PPH_OK &&
                            pph_gguf_find(pph_gguf_files_keys(&files), "tokenizer.ggml.tokens"));
    return PPH_OK;
}

static pph_status read_other(pph_card *card, const pph_json *root, pph_error *err)
{
    const pph_json *text = pph_json_get(root, "text_config");
    pph_card_shape shape = shape_of(pph_json_is_object(text) ? text : root);
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    pph_card_tally tally = {0};
    if (!card->capabilities)
        card->capabilities = judge(root);
    card->dimensions = (size_t)shape.width;
    card->context = (size_t)shape.context;
    if (card->capabilities & (PPH_CARD_IMAGES | PPH_CARD_VISION)) {
        const pph_json *vision = pph_json_get(root, "vision_config");
        card->image_side = (size_t)NUMBER(pph_json_is_object(vision) ? vision : root, "image_size");
    }
    PPH_TRY(read_sentence(card, err));
    if (card->capabilities & PPH_CARD_GENERATION)
        PPH_TRY(read_decoder(card, err));
    else if (card->capabilities == PPH_CARD_TEXTS &&
             pph_model_find(card->architecture) == &pph_decoder_embedder_architecture)
        PPH_TRY(read_embedding_decoder(card, err));
    else
        give_reason(card, "this version does not run '%s'", card->architecture);
    PPH_TRY(count_weights(card, &tally, &weights, err));
    PPH_TRY(judge_sight(card, &shape.sight, err));
    pph_card_need_shape(card, &tally, &shape, (size_t)pph_cpu_count());
    return PPH_OK;
}

static pph_status read_config(pph_card *card, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(card->path, "config.json");
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(card->path) + 16);
    PPH_TRY(pph_json_load(&root, path, CONFIG_LIMIT, err));
    pph_str type = pph_json_string(pph_json_get(root, "model_type"));
    name_architecture(card, type);
    bool listed = know(card);
    card->supported = pph_model_find(card->architecture) != NULL;
    if (!type.size)
        give_reason(card, "config.json says no model_type, so what it is cannot be told");
    if (card->supported && listed && (card->capabilities & BOTH) && pph_str_starts(type, "clip")) {
        PPH_TRY(read_clip(card, err));
        snprintf(card->architecture, sizeof card->architecture, "clip");
        return PPH_OK;
    }
    if (card->supported && listed && card->capabilities == PPH_CARD_TEXTS)
        return read_bert(card, err);
    card->supported = false;
    return read_other(card, root, err);
}

/* ---- GGUF ---- */

static uint64_t gguf_number(const pph_gguf *file, const char *key)
{
    pph_str architecture = pph_gguf_text(file, "general.architecture");
    char full[192];
    int64_t number = 0;
    int length = snprintf(full, sizeof full, "%.*s.%s", (int)PPH_MIN(architecture.size, (size_t)64),
                          architecture.data ? architecture.data : "", key);
    if (length < 0 || (size_t)length >= sizeof full ||
        pph_gguf_integer(file, full, 0, INT64_MAX, 0, &number, NULL) != PPH_OK)
        return 0;
    return (uint64_t)number;
}

static pph_card_shape gguf_shape(const pph_gguf *file)
{
    const pph_gguf_value *tokens = pph_gguf_find(file, "tokenizer.ggml.tokens");
    bool listed = tokens && tokens->kind == PPH_GGUF_ARRAY;
    return (pph_card_shape){
        .layers = gguf_number(file, "block_count"),
        .width = gguf_number(file, "embedding_length"),
        .heads = gguf_number(file, "attention.head_count"),
        .kv_heads = gguf_number(file, "attention.head_count_kv"),
        .head = gguf_number(file, "attention.key_length"),
        .intermediate = gguf_number(file, "feed_forward_length"),
        .vocabulary = listed ? tokens->array.count : gguf_number(file, "vocab_size"),
        .context = gguf_number(file, "context_length"),
    };
}

static void count_gguf(pph_card *card, pph_card_tally *tally, const pph_gguf *file)
{
    for (size_t i = 0; i < file->count; i++)
        pph_card_count(card, tally, &file->tensors[i]);
}

/* The other parts of a model whose file is "<stem>-00001-of-<count>.gguf". */
static pph_status count_shards(pph_card *card, pph_card_tally *tally, const pph_gguf *first,
                               pph_error *err)
{
    int64_t count = 1;
    if (pph_gguf_integer(first, "split.count", 0, SHARDS, 1, &count, NULL) != PPH_OK || count < 2)
        return PPH_OK;
    char tail[40];
    int length = snprintf(tail, sizeof tail, "-00001-of-%05d.gguf", (int)count);
    pph_str path = pph_str_view(card->path);
    if (!pph_str_ends(path, tail)) {
        give_reason(card, "is one of %d parts; name the first, which ends in %s", (int)count, tail);
        return PPH_OK;
    }
    for (int i = 2; i <= (int)count; i++) {
        PPH_AUTO(pph_free_at)
        char *part = pph_str_format("%.*s-%05d-of-%05d.gguf", (int)(path.size - (size_t)length),
                                    path.data, i, (int)count);
        if (!part)
            return PPH_FAIL_MEMORY(err, path.size + 1);
        pph_error error;
        PPH_AUTO(pph_gguf_close) pph_gguf file = {0};
        pph_status status = pph_gguf_open(&file, part, &error);
        PPH_TRY(take_reason(card, status, &error, err));
        count_gguf(card, tally, &file);
    }
    return PPH_OK;
}

/* The picture part beside a text model adds what it weighs and that the pair can see. */
static pph_status read_beside(pph_card *card, pph_card_tally *tally, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *part = NULL;
    PPH_AUTO(pph_gguf_folder_deinit) pph_gguf_folder files = {0};
    PPH_TRY(pph_gguf_folder_beside(&part, &files, card->path, err));
    if (!part)
        return PPH_OK;
    PPH_AUTO(pph_gguf_close) pph_gguf file = {0};
    pph_error error;
    pph_status status = pph_gguf_open(&file, part, &error);
    PPH_TRY(take_reason(card, status, &error, err));
    if (!pph_str_equal(pph_gguf_text(&file, "general.architecture"), PPH_STR("clip")))
        return PPH_OK;
    int64_t side = 0;
    if (pph_gguf_integer(&file, "clip.vision.image_size", 1, 16384, 0, &side, NULL) == PPH_OK)
        card->image_side = (size_t)side;
    card->capabilities |= PPH_CARD_VISION;
    count_gguf(card, tally, &file);
    return PPH_OK;
}

static pph_status read_gguf(pph_card *card, pph_error *err)
{
    PPH_AUTO(pph_gguf_close) pph_gguf file = {0};
    pph_card_tally tally = {0};
    PPH_TRY(pph_gguf_open(&file, card->path, err));
    name_architecture(card, pph_gguf_text(&file, "general.architecture"));
    know(card);
    pph_card_shape shape = gguf_shape(&file);
    card->dimensions = (size_t)shape.width;
    card->context = (size_t)shape.context;
    count_gguf(card, &tally, &file);
    if (strcmp(card->architecture, "clip") == 0) {
        card->capabilities = 0;
        give_reason(card, "is the picture part of a pair; name the text model's file beside it");
    }
    PPH_TRY(count_shards(card, &tally, &file, err));
    if (!file.count) {
        card->capabilities = 0;
        give_reason(card, "holds a vocabulary alone, no weights");
    }
    if (card->capabilities & PPH_CARD_GENERATION)
        PPH_TRY(read_beside(card, &tally, err));
    if (card->capabilities & PPH_CARD_GENERATION)
        PPH_TRY(read_gguf_decoder(card, err));
    else
        give_reason(card, "this version does not run '%s' from GGUF", card->architecture);
    PPH_TRY(judge_sight(card, &shape.sight, err));
    pph_card_need_shape(card, &tally, &shape, (size_t)pph_cpu_count());
    /* Blocks are not widened on a processor without bf16 either. */
    card->needs[PPH_PRECISION_AUTO] =
        PPH_MIN(card->needs[PPH_PRECISION_AUTO], card->needs[PPH_PRECISION_BF16]);
    return PPH_OK;
}

/* ---- a path ---- */

/* A folder without config.json is its one GGUF model, whose file becomes the card's path. */
static pph_status read_folder(pph_card *card, pph_error *err)
{
    if (has_file(card->path, "config.json"))
        return read_config(card, err);
    PPH_AUTO(pph_free_at) char *model = NULL;
    PPH_TRY(pph_gguf_folder_only(&model, card->path, err));
    pph_free(card->path);
    card->path = PPH_TAKE(model);
    return read_gguf(card, err);
}

pph_status pph_card_read(pph_card **out, const char *name, const char *path, pph_error *err)
{
    PPH_AUTO(pph_card_free) pph_card *card = pph_alloc(sizeof *card);
    if (!card || !(card->name = pph_str_copy(pph_str_view(name))))
        return PPH_FAIL_MEMORY(err, sizeof *card + strlen(name));
    bool gguf =
        pph_str_ends(pph_str_view(path), ".gguf") && pph_file_look(path) == PPH_FILE_REGULAR;
    if (!gguf)
        PPH_TRY(pph_folder_find(&card->path, path, err));
    else if (!(card->path = pph_str_copy(pph_str_view(path))))
        return PPH_FAIL_MEMORY(err, strlen(path) + 1);
    PPH_TRY(gguf ? read_gguf(card, err) : read_folder(card, err));
    qsort(card->types, card->type_count, sizeof *card->types, type_order);
    *out = PPH_TAKE(card);
    return PPH_OK;
}
