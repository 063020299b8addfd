/* The files of small LLaVAs. */
#include "llava_cases.h"

#include "weights/config_llava.h"
#include <stdlib.h>

static const char *stored(pph_str dtype)
{
    return pph_str_equal(dtype, PPH_STR("float16"))    ? "F16"
           : pph_str_equal(dtype, PPH_STR("bfloat16")) ? "BF16"
                                                       : "F32";
}

static void read_tensors(llava_files *c, const pph_json *json)
{
    const pph_json *list = pph_json_get(json, "tensors");
    const char *dtype = stored(pph_json_string(pph_json_get(json, "dtype")));
    c->tensor_count = pph_json_size(list);
    assert_true(c->tensor_count && c->tensor_count <= LLAVA_TENSORS);
    for (size_t i = 0; i < c->tensor_count; i++) {
        const pph_json *item = pph_json_at(list, i), *shape = pph_json_at(item, 1);
        synthetic_tensor *t = &c->tensors[i];
        snprintf(t->name, sizeof t->name, "%s", pph_json_string(pph_json_at(item, 0)).data);
        t->dtype = dtype;
        t->rank = (int)pph_json_size(shape);
        for (int d = 0; d < t->rank; d++)
            t->shape[d] = (size_t)pph_json_integer(pph_json_at(shape, (size_t)d));
        t->mean = pph_json_number(pph_json_at(item, 2));
        t->scale = pph_json_number(pph_json_at(item, 3));
        t->period = (size_t)pph_json_integer(pph_json_at(item, 4));
        t->spike = pph_json_number(pph_json_at(item, 5));
    }
}

void llava_files_read(llava_files *out, const pph_json *json)
{
    snprintf(out->name, sizeof out->name, "%s", pph_json_string(pph_json_get(json, "name")).data);
    snprintf(out->space, sizeof out->space, "%s",
             pph_json_string(pph_json_get(json, "space")).data);
    out->config = pph_json_string(pph_json_get(json, "config")).data;
    read_tensors(out, json);
    pph_llava_config config;
    assert_int_equal(
        pph_config_parse_llava(&config, "config.json", out->config, strlen(out->config), NULL),
        PPH_OK);
    out->side = (size_t)config.tower.image;
}

made_folder llava_files_write(const llava_files *c)
{
    made_folder folder = make_folder();
    char path[160];
    uint64_t seeds[LLAVA_TENSORS];
    for (size_t i = 0; i < c->tensor_count; i++)
        seeds[i] = synthetic_seed(c->space, c->tensors[i].name);
    put_text(&folder, "config.json", c->config);
    snprintf(path, sizeof path, "%s/model.safetensors", folder.path);
    assert_true(synthetic_write(path, c->tensors, seeds, c->tensor_count));
    return folder;
}

/* ---- picture parts ---- */

/* The name in a picture part; false for what it leaves out. */
static bool part_name(const char *name, bool swapped, char *out, size_t size)
{
    static const char *const layer[][2] = {
        {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"},
        {"self_attn.v_proj", "attn_v"}, {"self_attn.out_proj", "attn_out"},
        {"layer_norm1", "ln1"},         {"layer_norm2", "ln2"},
    };
    static const char *const whole[][2] = {
        {"embeddings.class_embedding", "v.class_embd"},
        {"embeddings.patch_embedding.weight", "v.patch_embd.weight"},
        {"embeddings.position_embedding.weight", "v.position_embd.weight"},
        {"pre_layrnorm.weight", "v.pre_ln.weight"},
        {"pre_layrnorm.bias", "v.pre_ln.bias"},
        {"post_layernorm.weight", "v.post_ln.weight"},
        {"post_layernorm.bias", "v.post_ln.bias"},
        {"linear_1.weight", "mm.0.weight"},
        {"linear_1.bias", "mm.0.bias"},
        {"linear_2.weight", "mm.2.weight"},
        {"linear_2.bias", "mm.2.bias"},
    };
    for (size_t i = 0; i < PPH_COUNT(whole); i++)
        if (pph_str_ends(pph_str_view(name), whole[i][0])) {
            snprintf(out, size, "%s", whole[i][1]);
            return true;
        }
    const char *at = strstr(name, "encoder.layers.");
    if (!at)
        return false;
    int number = atoi(at + 15);
    at = strchr(at + 15, '.') + 1;
    const char *kind = strrchr(at, '.');
    const char *part = strstr(at, "mlp.fc1")   ? swapped ? "ffn_down" : "ffn_up"
                       : strstr(at, "mlp.fc2") ? swapped ? "ffn_up" : "ffn_down"
                                               : NULL;
    for (size_t i = 0; !part && i < PPH_COUNT(layer); i++)
        if (strncmp(at, layer[i][0], strlen(layer[i][0])) == 0)
            part = layer[i][1];
    assert_non_null(part);
    snprintf(out, size, "v.blk.%d.%s%s", number, part, kind);
    return true;
}

static void put_keys(pph_buffer *out, const llava_files *c, const pph_llava_config *config,
                     int layers)
{
    const pph_clip_tower *v = &config->tower.vision;
    float epsilon = v->epsilon;
    uint32_t bits;
    memcpy(&bits, &epsilon, sizeof bits);
    gguf_pair_text(out, "general.architecture", "clip");
    gguf_pair_text(out, "clip.projector_type", "mlp");
    gguf_pair_u32(out, "clip.vision.image_size", (uint32_t)c->side);
    gguf_pair_u32(out, "clip.vision.patch_size", (uint32_t)config->tower.patch);
    gguf_pair_u32(out, "clip.vision.embedding_length", (uint32_t)v->width);
    gguf_pair_u32(out, "clip.vision.feed_forward_length", (uint32_t)v->intermediate);
    gguf_pair_u32(out, "clip.vision.attention.head_count", (uint32_t)v->heads);
    gguf_pair_u32(out, "clip.vision.block_count", (uint32_t)layers);
    gguf_key(out, "clip.vision.attention.layer_norm_epsilon", 6);
    gguf_number(out, bits, 4);
    gguf_key(out, "clip.use_gelu", 7);
    gguf_number(out, 0, 1);
}

enum { KEYS = 10 };

made_folder llava_files_write_part(const llava_files *c, bool swapped, bool trimmed, char path[160])
{
    pph_llava_config config;
    pph_buffer file = {0}, infos = {0}, data = {0};
    size_t count = 0;
    assert_int_equal(
        pph_config_parse_llava(&config, "config.json", c->config, strlen(c->config), NULL), PPH_OK);
    int layers = config.tower.vision.layers - trimmed;
    char last[16];
    snprintf(last, sizeof last, "v.blk.%d.", layers);
    for (size_t i = 0; i < c->tensor_count; i++) {
        const synthetic_tensor *t = &c->tensors[i];
        char name[80];
        if (!part_name(t->name, swapped, name, sizeof name) || strstr(name, last) == name ||
            (trimmed && strstr(name, "post_ln")))
            continue;
        uint64_t shape[4];
        for (int d = 0; d < t->rank; d++)
            shape[d] = t->shape[t->rank - 1 - d];
        gguf_tensor(&infos, name, (uint32_t)t->rank, shape, 0, data.size);
        size_t elements = synthetic_elements(t);
        float *values = pph_alloc_array(elements, sizeof *values);
        assert_non_null(values);
        synthetic_noise(synthetic_seed(c->space, t->name), 0, elements, t->mean, t->scale,
                        t->period, t->spike, values);
        assert_int_equal(pph_buffer_append(&data, values, elements * sizeof *values, NULL), PPH_OK);
        while (data.size % 32)
            gguf_number(&data, 0, 1);
        pph_free(values);
        count++;
    }
    gguf_begin(&file, 3, count, KEYS);
    put_keys(&file, c, &config, layers);
    assert_int_equal(pph_buffer_append(&file, infos.data, infos.size, NULL), PPH_OK);
    while (file.size % 32)
        gguf_number(&file, 0, 1);
    assert_int_equal(pph_buffer_append(&file, data.data, data.size, NULL), PPH_OK);
    made_folder folder = make_folder();
    snprintf(path, 160, "%s/mmproj.gguf", folder.path);
    assert_int_equal(pph_file_write(path, file.data, file.size, NULL), PPH_OK);
    pph_buffer_deinit(&file);
    pph_buffer_deinit(&infos);
    pph_buffer_deinit(&data);
    return folder;
}
