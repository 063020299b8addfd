/* Reading the cases, and writing their folders. */
#include "clip_cases.h"

static const char *stored(const char *dtype)
{
    return !strcmp(dtype, "float16") ? "F16" : !strcmp(dtype, "bfloat16") ? "BF16" : "F32";
}

static void copy_name(char *out, size_t size, pph_str text)
{
    assert_true(text.size < size);
    snprintf(out, size, "%.*s", (int)text.size, text.data ? text.data : "");
}

static void read_tensors(clip_case *c, const pph_json *json, const char *dtype)
{
    const pph_json *list = pph_json_get(json, "tensors");
    c->tensor_count = pph_json_size(list);
    assert_true(c->tensor_count > 0 && c->tensor_count + 2 <= CASE_TENSORS);
    for (size_t i = 0; i < c->tensor_count; i++) {
        const pph_json *item = pph_json_at(list, i), *shape = pph_json_at(item, 1);
        synthetic_tensor *t = &c->tensors[i];
        copy_name(t->name, sizeof t->name, pph_json_string(pph_json_at(item, 0)));
        t->dtype = dtype;
        t->rank = (int)pph_json_size(shape);
        for (int d = 0; d < t->rank; d++)
            t->shape[d] = (size_t)pph_json_integer(pph_json_at(shape, (size_t)d));
        t->mean = pph_json_number(pph_json_at(item, 2));
        t->scale = pph_json_number(pph_json_at(item, 3));
        t->period = (size_t)pph_json_integer(pph_json_at(item, 4));
        t->spike = pph_json_number(pph_json_at(item, 5));
    }
    if (pph_json_true(pph_json_get(json, "buffers"))) {
        static const char *const towers[] = {"vision", "text"};
        for (size_t i = 0; i < 2; i++) {
            synthetic_tensor *t = &c->tensors[c->tensor_count++];
            *t = (synthetic_tensor){.dtype = "I64", .rank = 2, .shape = {1, 20}};
            snprintf(t->name, sizeof t->name, "%s_model.embeddings.position_ids", towers[i]);
        }
    }
}

static float *read_vectors(const pph_json *list, size_t *count, size_t *dimensions)
{
    *count = pph_json_size(list);
    if (!*count)
        return NULL;
    *dimensions = pph_json_size(pph_json_at(list, 0));
    float *out = pph_alloc_array(*count * *dimensions, sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < *count * *dimensions; i++)
        out[i] = (float)pph_json_number(
            pph_json_at(pph_json_at(list, i / *dimensions), i % *dimensions));
    return out;
}

static void read_case(clip_case *c, const pph_json *json)
{
    const pph_json *texts = pph_json_get(json, "texts");
    char dtype[20];
    copy_name(c->name, sizeof c->name, pph_json_string(pph_json_get(json, "name")));
    copy_name(c->prefix, sizeof c->prefix, pph_json_string(pph_json_get(json, "prefix")));
    copy_name(dtype, sizeof dtype, pph_json_string(pph_json_get(json, "dtype")));
    c->config = pph_json_string(pph_json_get(json, "config")).data;
    c->shards = (size_t)pph_json_integer(pph_json_get(json, "shards"));
    read_tensors(c, json, stored(dtype));
    c->image_vectors =
        read_vectors(pph_json_get(json, "image_vectors"), &c->images, &c->dimensions);
    c->text_vectors = read_vectors(pph_json_get(json, "text_vectors"), &c->texts, &c->dimensions);
    assert_true(c->images || c->texts);
    size_t used = 0;
    for (size_t i = 0; i < c->texts; i++) {
        const pph_json *ids = pph_json_at(texts, i);
        c->lengths[i] = pph_json_size(ids);
        for (size_t k = 0; k < c->lengths[i]; k++) {
            assert_true(used < CASE_IDS);
            c->ids[used++] = (int32_t)pph_json_integer(pph_json_at(ids, k));
        }
    }
}

clip_cases clip_cases_load(void)
{
    clip_cases cases = {0};
    pph_error err;
    if (pph_json_load(&cases.golden, PPH_GOLDEN_MODEL "/clip.json", 1 << 20, &err) != PPH_OK)
        fail_msg("%s", err.message);
    const pph_json *list = pph_json_get(cases.golden, "cases");
    cases.count = pph_json_size(list);
    assert_true(cases.count >= 8);
    cases.at = pph_alloc_array(cases.count, sizeof *cases.at);
    assert_non_null(cases.at);
    for (size_t i = 0; i < cases.count; i++)
        read_case(&cases.at[i], pph_json_at(list, i));
    return cases;
}

void clip_cases_free(clip_cases *cases)
{
    for (size_t i = 0; i < cases->count; i++) {
        pph_free(cases->at[i].image_vectors);
        pph_free(cases->at[i].text_vectors);
    }
    pph_free(cases->at);
    pph_json_free(&cases->golden);
}

clip_case clip_cases_copy(const clip_cases *cases, const char *name)
{
    for (size_t i = 0; i < cases->count; i++)
        if (!strcmp(cases->at[i].name, name))
            return cases->at[i];
    fail_msg("no case %s", name);
    return cases->at[0];
}

/* Shard `shard` of the tensors, every shards-th one of them, under the names of the file. */
static void write_shard(const clip_case *c, const char *path, size_t shard, size_t shards)
{
    synthetic_tensor *some = calloc(CASE_TENSORS, sizeof *some);
    uint64_t *seeds = calloc(CASE_TENSORS, sizeof *seeds);
    size_t count = 0;
    assert_true(some && seeds);
    for (size_t i = shard; i < c->tensor_count; i += shards) {
        seeds[count] = synthetic_seed(c->name, c->tensors[i].name);
        some[count] = c->tensors[i];
        int length =
            snprintf(some[count].name, sizeof some->name, "%s%s", c->prefix, c->tensors[i].name);
        assert_true(length > 0 && (size_t)length < sizeof some->name);
        count++;
    }
    assert_true(synthetic_write(path, some, seeds, count));
    free(some);
    free(seeds);
}

made_folder clip_case_write(const clip_case *c)
{
    made_folder folder = make_folder();
    char path[200];
    put_text(&folder, "config.json", c->config);
    if (c->shards < 2) {
        snprintf(path, sizeof path, "%s/model.safetensors", folder.path);
        write_shard(c, path, 0, 1);
        return folder;
    }
    pph_buffer index = {0};
    assert_int_equal(pph_buffer_print(&index, NULL, "{\"metadata\":{},\"weight_map\":{"), PPH_OK);
    for (size_t i = 0; i < c->tensor_count; i++)
        assert_int_equal(pph_buffer_print(&index, NULL,
                                          "%s\"%s%s\":\"model-%05zu-of-%05zu.safetensors\"",
                                          i ? "," : "", c->prefix, c->tensors[i].name,
                                          i % c->shards + 1, c->shards),
                         PPH_OK);
    assert_int_equal(pph_buffer_print(&index, NULL, "}}"), PPH_OK);
    put_bytes(&folder, "model.safetensors.index.json", index.data, index.size);
    pph_buffer_deinit(&index);
    for (size_t i = 0; i < c->shards; i++) {
        snprintf(path, sizeof path, "%s/model-%05zu-of-%05zu.safetensors", folder.path, i + 1,
                 c->shards);
        write_shard(c, path, i, c->shards);
    }
    return folder;
}

float *clip_case_pixels(const clip_case *c)
{
    size_t side = clip_case_side(c), picture = 3 * side * side;
    float *pixels = pph_alloc_array(c->images * picture, sizeof *pixels);
    assert_non_null(pixels);
    for (size_t i = 0; i < c->images; i++) {
        char name[40];
        snprintf(name, sizeof name, "image %zu", i);
        synthetic_noise(synthetic_seed(c->name, name), 0, picture, 0, 1, 0, 1,
                        pixels + i * picture);
    }
    return pixels;
}

size_t clip_case_side(const clip_case *c)
{
    const char *at = strstr(c->config, "\"image_size\": ");
    assert_non_null(at);
    return (size_t)atoi(at + strlen("\"image_size\": "));
}

synthetic_tensor *clip_case_tensor(clip_case *c, const char *name)
{
    for (size_t i = 0; i < c->tensor_count; i++)
        if (!strcmp(c->tensors[i].name, name))
            return &c->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

void clip_case_drop(clip_case *c, const char *start)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->tensor_count; i++)
        if (strncmp(c->tensors[i].name, start, strlen(start)) != 0)
            c->tensors[kept++] = c->tensors[i];
    assert_true(kept < c->tensor_count);
    c->tensor_count = kept;
}
