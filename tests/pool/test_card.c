/* A card says what a model's files hold and what they will need; it says so also of models that do
 * not run, and of broken ones. */
#include "base/thread.h"
#include "made_tree.h"
#include "model/model.h"
#include "pool/card.h"

static pph_card *card_of(const char *path)
{
    pph_card *card = NULL;
    pph_error err = {0};
    if (pph_card_read(&card, "asked", path, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_string_equal(card->name, "asked");
    assert_true(card->supported || card->reason[0]);
    return card;
}

static void refused(const char *path, pph_status status, const char *word)
{
    pph_card *card = NULL;
    pph_error err = {0};
    pph_status got = pph_card_read(&card, "asked", path, &err);
    if (got != status || !strstr(err.message, word))
        fail_msg("'%s' wanted, status %d: %s", word, got, err.message);
    assert_null(card);
}

static void says(const pph_card *card, const char *word)
{
    if (!strstr(card->reason, word))
        fail_msg("'%s' is not in '%s'", word, card->reason);
}

/* ---- CLIP ---- */

static void test_clip(void **state)
{
    (void)state;
    pph_card *card = card_of(TINY);
    assert_string_equal(card->path, TINY);
    assert_string_equal(card->architecture, "clip");
    assert_true(card->supported);
    assert_string_equal(card->reason, "");
    assert_int_equal(card->capabilities, PPH_CARD_IMAGES | PPH_CARD_TEXTS);
    assert_int_equal(card->dimensions, 128);
    assert_int_equal(card->context, 64);
    assert_int_equal(card->image_side, 64);
    assert_int_equal(card->type_count, 1);
    assert_string_equal(card->types[0].name, "F16");
    assert_int_equal(card->types[0].bytes, card->file_bytes);
    assert_int_equal(card->file_bytes, card->parameters * 2);
    assert_true(card->needs[PPH_PRECISION_AUTO] == card->needs[PPH_PRECISION_F32] ||
                card->needs[PPH_PRECISION_AUTO] == card->needs[PPH_PRECISION_BF16]);
    pph_card_free(&card);
    assert_null(card);
    card = card_of(TINY "/model.safetensors"); /* a file of a folder is the folder */
    assert_string_equal(card->architecture, "clip");
    pph_card_free(&card);
}

/* What is promised is not less than what the loaded model holds after batches of each kind, nor 2.5
 * times as much: how much is held depends on which thread was quicker. */
static void test_needs_hold(void **state)
{
    (void)state;
    enum { PICTURES = 64, TEXTS = 128, LENGTH = 60 };
    pph_card *card = card_of(TINY);
    pph_team *team = NULL;
    assert_int_equal(pph_team_new(&team, pph_cpu_count(), NULL), PPH_OK);
    float *pixels = pph_alloc_array(PICTURES * 3 * 64, 64 * sizeof *pixels);
    const float *pictures[PICTURES];
    for (size_t i = 0; i < PICTURES; i++)
        pictures[i] = pixels + i * 3 * 64 * 64;
    float *out = pph_alloc_array(TEXTS, 128 * sizeof *out);
    int32_t *ids = pph_alloc_array(TEXTS * LENGTH, sizeof *ids);
    size_t lengths[TEXTS];
    for (size_t i = 0; i < TEXTS; i++)
        lengths[i] = LENGTH;
    for (size_t i = 0; i < TEXTS * LENGTH; i++)
        ids[i] = i % LENGTH == LENGTH - 1 ? 687 : (int32_t)(i % 600);
    for (int p = PPH_PRECISION_F32; p < PPH_PRECISION_COUNT; p++) {
        pph_model *model = NULL;
        const pph_model_options options = {.team = team, .precision = (pph_precision)p};
        assert_int_equal(pph_model_open(&model, TINY, &options, NULL), PPH_OK);
        assert_int_equal(pph_model_embed_pixels(model, PICTURES, pictures, out, NULL, NULL),
                         PPH_OK);
        const pph_texts texts = {.count = TEXTS, .ids = ids, .lengths = lengths};
        assert_int_equal(pph_model_embed_texts(model, &texts, out, NULL), PPH_OK);
        size_t held = pph_model_bytes(model);
        uint64_t promised = card->needs[pph_model_describe(model)->precision];
        printf("# %d: %zu bytes held, %zu promised\n", p, held, (size_t)promised);
        assert_true(held <= promised);
        if (pph_cpu_count() <= 4) /* more members than groups of pictures hold less */
            assert_true(2 * promised < 5 * held);
        pph_model_close(&model);
    }
    pph_free(pixels);
    pph_free(out);
    pph_free(ids);
    pph_team_free(&team);
    pph_card_free(&card);
}

/* A copy of the built-in model whose header had `from` replaced by `to`, of the same length. */
static void damage(const char *folder, const char *from, const char *to)
{
    pph_buffer bytes = {0};
    char tail[256];
    link_tiny(folder, "model.safetensors");
    assert_int_equal(pph_file_read(TINY "/model.safetensors", &bytes, NULL), PPH_OK);
    size_t size = strlen(from), header = 0;
    assert_int_equal(size, strlen(to));
    memcpy(&header, bytes.data, 8);
    for (uint8_t *hit; (hit = memmem(bytes.data, header + 8, from, size));)
        memcpy(hit, to, size);
    snprintf(tail, sizeof tail, "%s/model.safetensors", folder);
    put_buffer(tail, &bytes);
}

static void test_clip_that_lacks_a_part(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        unsigned left;
        const char *word;
    } lacks[] = {
        {"\"text_projection.weight", "\"text_rejection_.weight", PPH_CARD_IMAGES, "text tower"},
        {"\"visual_projection.weight", "\"visual_rejection_.weight", PPH_CARD_TEXTS,
         "picture tower"},
        {"\"vision_model.embeddings.class_embedding", "\"vision_model.embeddings.glass_embedding",
         PPH_CARD_TEXTS, "picture tower"},
        {"_projection.weight", "_rejection_.weight", 0, "picture tower"},
    };
    for (size_t i = 0; i < PPH_COUNT(lacks); i++) {
        char folder[16];
        snprintf(folder, sizeof folder, "part%zu", i);
        damage(folder, lacks[i].from, lacks[i].to);
        pph_card *card = card_of(at(folder));
        assert_int_equal(card->capabilities, lacks[i].left);
        assert_int_equal(card->supported, lacks[i].left != 0);
        assert_int_equal(card->image_side, lacks[i].left & PPH_CARD_IMAGES ? 64 : 0);
        assert_int_equal(card->context, lacks[i].left & PPH_CARD_TEXTS ? 64 : 0);
        says(card, lacks[i].word);
        pph_card_free(&card);
    }
    link_tiny("mute", "tokenizer.json");
    pph_card *card = card_of(at("mute"));
    assert_true(card->supported);
    assert_int_equal(card->capabilities, PPH_CARD_IMAGES);
    says(card, "tokenizer.json");
    pph_card_free(&card);
    put("mute/vocab.json", "{}");
    put("mute/merges.txt", "");
    card = card_of(at("mute"));
    assert_int_equal(card->capabilities, PPH_CARD_IMAGES | PPH_CARD_TEXTS);
    pph_card_free(&card);
}

static void test_broken_clip(void **state)
{
    (void)state;
    link_tiny("bare", "model.safetensors");
    pph_card *card = card_of(at("bare"));
    assert_false(card->supported);
    assert_int_equal(card->capabilities, 0);
    assert_int_equal(card->file_bytes, 0);
    pph_card_free(&card);
    put("bare/model.safetensors", "version https://git-lfs.github.com/spec/v1");
    card = card_of(at("bare"));
    assert_false(card->supported);
    says(card, "git lfs pull");
    pph_card_free(&card);
    put("odd/config.json", "{\"model_type\":\"clip\",\"projection_dim\":-1}");
    card = card_of(at("odd"));
    assert_false(card->supported);
    says(card, "projection_dim");
    pph_card_free(&card);
    put("bad/config.json", "{");
    refused(at("bad"), PPH_CORRUPT, "config.json");
    refused(at("none"), PPH_NOT_FOUND, "no such file");
    put("empty/readme", "");
    refused(at("empty"), PPH_NOT_FOUND, "neither config.json nor a .gguf");
}

/* ---- other folders ---- */

#define LLAMA                                                                       \
    "{\"model_type\":\"llama\",\"hidden_size\":8,\"num_hidden_layers\":3,"          \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"intermediate_size\":16," \
    "\"vocab_size\":10,\"max_position_embeddings\":100}"
#define TENSOR(name, type, shape, from, to) \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void test_decoder(void **state)
{
    (void)state;
    put("llama/config.json", LLAMA);
    put_weights(
        "llama/model.safetensors",
        "{" TENSOR("model.embed_tokens.weight", "BF16", "[10,8]", "0", "160") "," TENSOR(
            "model.layers.0.mlp.up_proj.weight", "F16", "[16,8]", "160",
            "416") "," TENSOR("model.norm.weight", "F32", "[8]", "416",
                              "448") "," TENSOR("x.position_ids", "I64", "[1,2]", "448", "464") "}",
        464);
    pph_card *card = card_of(at("llama"));
    assert_string_equal(card->architecture, "llama");
    assert_false(card->supported);
    says(card, "has no tokenizer");
    assert_int_equal(card->capabilities, PPH_CARD_GENERATION);
    assert_int_equal(card->dimensions, 8);
    assert_int_equal(card->context, 100);
    assert_int_equal(card->image_side, 0);
    assert_int_equal(card->parameters, 80 + 128 + 8);
    assert_int_equal(card->file_bytes, 464);
    assert_int_equal(card->type_count, 4);
    assert_string_equal(card->types[0].name, "F16");
    assert_string_equal(card->types[3].name, "I64");
    /* By hand: table as stored; it is the output's matrix too; the other matrix; the norm. */
    uint64_t f32 = 160 + 80 * 4 + 128 * 4 + 8 * 4, bf16 = 160 + 80 * 2 + 128 * 2 + 8 * 4;
    uint64_t int8 = 160 + (80 + 10 * 8) + (128 + 16 * 8) + 8 * 4;
    /* 512 rows of six widths and two intermediates, logits, keys and values of 100 tokens. */
    uint64_t work = 512 * (6 * 8 + 2 * 16) * 4 + 10 * 4 + 3 * 2 * 2 * 2 * 100 * 2 + (256 << 10);
    assert_int_equal(card->needs[PPH_PRECISION_F32], f32 + work);
    assert_int_equal(card->needs[PPH_PRECISION_BF16], bf16 + work);
    assert_int_equal(card->needs[PPH_PRECISION_INT8], int8 + work);
    /* Quantised: whole blocks of 32; the matrix of the logits never in 4 bits. */
    assert_int_equal(card->quantised[PPH_QUANTIZE_Q8_0], 160 + 2 * 34 + 4 * 34 + 8 * 4 + work);
    assert_int_equal(card->quantised[PPH_QUANTIZE_Q4_0], 160 + 2 * 34 + 4 * 18 + 8 * 4 + work);
    pph_card_free(&card);
    put("llama/tokenizer.json", "{}");
    card = card_of(at("llama"));
    assert_true(card->supported);
    assert_string_equal(card->reason, "");
    pph_card_free(&card);
    put("llama/config.json", "{\"model_type\":\"llama\",\"hidden_act\":\"relu\"}");
    card = card_of(at("llama"));
    assert_false(card->supported);
    says(card, "hidden_act");
    pph_card_free(&card);
}

static void test_configs(void **state)
{
    (void)state;
    static const struct {
        const char *config, *architecture;
        unsigned capabilities;
        size_t dimensions, context, side;
    } known[] = {
        {"{\"model_type\":\"bert\",\"hidden_size\":384,\"max_position_embeddings\":512}", "bert",
         PPH_CARD_TEXTS, 384, 512, 0},
        {"{\"model_type\":\"gpt2\",\"n_embd\":768,\"n_positions\":1024}", "gpt2",
         PPH_CARD_GENERATION, 768, 1024, 0},
        {"{\"model_type\":\"llava\",\"text_config\":{\"hidden_size\":4096,"
         "\"max_position_embeddings\":4096},\"vision_config\":{\"image_size\":336}}",
         "llava", PPH_CARD_VISION | PPH_CARD_GENERATION, 4096, 4096, 336},
        {"{\"model_type\":\"siglip\"}", "siglip", PPH_CARD_IMAGES | PPH_CARD_TEXTS, 0, 0, 0},
        {"{\"model_type\":\"brand_new\",\"architectures\":[\"BrandNewForCausalLM\"]}", "brand_new",
         PPH_CARD_GENERATION, 0, 0, 0},
        {"{\"model_type\":\"seer\",\"architectures\":[\"SeerForConditionalGeneration\"],"
         "\"vision_config\":{}}",
         "seer", PPH_CARD_VISION | PPH_CARD_GENERATION, 0, 0, 0},
        {"{\"model_type\":\"t5\",\"architectures\":[\"T5ForConditionalGeneration\"]}", "t5",
         PPH_CARD_GENERATION, 0, 0, 0},
        {"{\"model_type\":\"e\\u001b[2J\",\"hidden_size\":\"many\",\"architectures\":3}", "e?[2J",
         0, 0, 0, 0},
        {"{\"model_type\":\"llama\",\"hidden_size\":-5,\"num_hidden_layers\":1e99}", "llama",
         PPH_CARD_GENERATION, 0, 0, 0},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":9223372036854775807,"
         "\"hidden_size\":9223372036854775807,\"num_attention_heads\":1}",
         "llama", PPH_CARD_GENERATION, INT64_MAX, 0, 0},
        {"{}", "", 0, 0, 0, 0},
        {"[]", "", 0, 0, 0, 0},
    };
    for (size_t i = 0; i < PPH_COUNT(known); i++) {
        put("m/config.json", known[i].config);
        pph_card *card = card_of(at("m"));
        assert_string_equal(card->architecture, known[i].architecture);
        assert_int_equal(card->capabilities, known[i].capabilities);
        assert_int_equal(card->dimensions, known[i].dimensions);
        assert_int_equal(card->context, known[i].context);
        assert_int_equal(card->image_side, known[i].side);
        assert_false(card->supported);
        pph_card_free(&card);
    }
}

static void test_sentence_transformers(void **state)
{
    (void)state;
    put("gte/config.json", "{\"model_type\":\"qwen2\",\"hidden_size\":1536,"
                           "\"max_position_embeddings\":131072}");
    put("gte/modules.json", "[{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_"
                            "transformers.models.Transformer\"},"
                            "{\"idx\":1,\"name\":\"1\",\"path\":\"1_Pooling\",\"type\":\"sentence_"
                            "transformers.models.Pooling\"},"
                            "{\"idx\":2,\"name\":\"2\",\"path\":\"2_Dense\",\"type\":\"sentence_"
                            "transformers.models.Dense\"}]");
    put("gte/1_Pooling/config.json", "{\"pooling_mode_lasttoken\":true}");
    put("gte/2_Dense/config.json",
        "{\"in_features\":1536,\"out_features\":1024,\"activation_function\":\"Identity\"}");
    put("gte/sentence_bert_config.json", "{\"max_seq_length\":256}");
    pph_card *card = card_of(at("gte"));
    assert_int_equal(card->capabilities, PPH_CARD_TEXTS);
    assert_int_equal(card->context, 256);
    assert_int_equal(card->dimensions, 1024);
    assert_false(card->supported); /* without weights, without a tokenizer */
    says(card, "tokenizer");
    pph_card_free(&card);
}

/* ---- GGUF ---- */

/* A llama of 8 wide with one matrix in Q4_0 and, where asked, a part's number. */
static pph_buffer llama_gguf(uint32_t parts, const char *tensor)
{
    pph_buffer b = {0};
    gguf_begin(&b, 3, 2, 7);
    gguf_pair_text(&b, "general.architecture", "llama");
    gguf_pair_u32(&b, "llama.context_length", 4096);
    gguf_pair_u32(&b, "llama.embedding_length", 32);
    gguf_pair_u32(&b, "llama.block_count", 2);
    gguf_pair_u32(&b, "llama.attention.head_count", 4);
    gguf_pair_u32(&b, "llama.vocab_size", 100);
    gguf_pair_u32(&b, "split.count", parts);
    gguf_tensor(&b, tensor, 2, (uint64_t[]){32, 4}, 2, 0); /* 4 rows of 18 bytes */
    gguf_tensor(&b, "output.weight", 2, (uint64_t[]){32, 1}, 1, 96);
    gguf_data(&b, 32, 96 + 64);
    return b;
}

static pph_buffer mmproj_gguf(void)
{
    pph_buffer b = {0};
    gguf_begin(&b, 3, 1, 2);
    gguf_pair_text(&b, "general.architecture", "clip");
    gguf_pair_u32(&b, "clip.vision.image_size", 336);
    gguf_tensor(&b, "v.blk.0.attn_q.weight", 2, (uint64_t[]){4, 4}, 1, 0);
    gguf_data(&b, 32, 32);
    return b;
}

static void test_gguf(void **state)
{
    (void)state;
    pph_buffer b = llama_gguf(1, "blk.0.attn_q.weight");
    put_buffer("llama.gguf", &b);
    pph_card *card = card_of(at("llama.gguf"));
    assert_string_equal(card->architecture, "llama");
    assert_false(card->supported);
    says(card, "llama.feed_forward_length"); /* a key that it takes to run it */
    assert_int_equal(card->capabilities, PPH_CARD_GENERATION);
    assert_int_equal(card->dimensions, 32);
    assert_int_equal(card->context, 4096);
    assert_int_equal(card->parameters, 128 + 32);
    assert_int_equal(card->file_bytes, 72 + 64);
    assert_string_equal(card->types[0].name, "Q4_0");
    /* Blocks stay at int8: 72 bytes; 32 numbers of a row beside them. Keys and values of all tokens. */
    uint64_t work = 512 * 6 * 32 * 4 + 100 * 4 + (uint64_t)2 * 2 * 4 * 8 * 4096 * 2 + (256 << 10);
    assert_int_equal(card->needs[PPH_PRECISION_INT8], 72 + 32 + 8 + work);
    assert_int_equal(card->needs[PPH_PRECISION_F32], 160 * 4 + work);
    assert_int_equal(card->needs[PPH_PRECISION_BF16], 72 + 32 * 2 + work);
    assert_int_equal(card->quantised[PPH_QUANTIZE_Q8_0], 72 + 34 + work); /* blocks stay */
    pph_card_free(&card);
    b = (pph_buffer){0};
    gguf_begin(&b, 3, 0, 1);
    gguf_pair_text(&b, "general.architecture", "llama");
    put_buffer("vocab.gguf", &b);
    card = card_of(at("vocab.gguf"));
    assert_int_equal(card->capabilities, 0);
    says(card, "vocabulary");
    pph_card_free(&card);
    put("bad.gguf", "GGUF");
    refused(at("bad.gguf"), PPH_CORRUPT, "bad.gguf");
}

static void test_gguf_pair(void **state)
{
    (void)state;
    pph_buffer b = llama_gguf(1, "blk.0.attn_q.weight");
    put_buffer("pair/llava.gguf", &b);
    b = mmproj_gguf();
    put_buffer("pair/mmproj-model-f16.gguf", &b);
    pph_card *card = card_of(at("pair")); /* the folder is its one model */
    assert_string_equal(card->path, at("pair/llava.gguf"));
    assert_int_equal(card->capabilities, PPH_CARD_VISION | PPH_CARD_GENERATION);
    assert_int_equal(card->image_side, 336);
    assert_int_equal(card->file_bytes, 72 + 64 + 32);
    pph_card_free(&card);
    card = card_of(at("pair/mmproj-model-f16.gguf"));
    assert_int_equal(card->capabilities, 0);
    says(card, "picture part");
    pph_card_free(&card);
    b = llama_gguf(1, "blk.0.attn_q.weight"); /* whose is the picture part now? */
    put_buffer("pair/other.gguf", &b);
    card = card_of(at("pair/llava.gguf"));
    assert_int_equal(card->capabilities, PPH_CARD_GENERATION);
    pph_card_free(&card);
    refused(at("pair"), PPH_INVALID_ARGUMENT, "2 .gguf files");
}

static void test_gguf_parts(void **state)
{
    (void)state;
    pph_buffer b = llama_gguf(2, "blk.0.attn_q.weight");
    put_buffer("big/m-00001-of-00002.gguf", &b);
    pph_card *card = card_of(at("big"));
    says(card, "m-00002-of-00002.gguf"); /* it is missing */
    pph_card_free(&card);
    b = llama_gguf(2, "blk.1.attn_q.weight");
    put_buffer("big/m-00002-of-00002.gguf", &b);
    card = card_of(at("big"));
    assert_int_equal(card->file_bytes, 2 * (72 + 64));
    pph_card_free(&card);
    card = card_of(at("big/m-00002-of-00002.gguf"));
    says(card, "name the first");
    pph_card_free(&card);
}

static void test_capability_names(void **state)
{
    (void)state;
    assert_string_equal(pph_card_capability(PPH_CARD_IMAGES), "image-embedding");
    assert_string_equal(pph_card_capability(PPH_CARD_TEXTS), "text-embedding");
    assert_string_equal(pph_card_capability(PPH_CARD_VISION), "vision");
    assert_string_equal(pph_card_capability(PPH_CARD_GENERATION), "generation");
    assert_string_equal(pph_card_capability(PPH_CARD_RERANK), "rerank");
    assert_string_equal(pph_card_capability(32), "");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_clip),
        CASE(test_needs_hold),
        CASE(test_broken_clip),
        CASE(test_clip_that_lacks_a_part),
        CASE(test_decoder),
        CASE(test_configs),
        CASE(test_gguf),
        CASE(test_sentence_transformers),
        CASE(test_gguf_pair),
        CASE(test_gguf_parts),
        CASE(test_capability_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
