/* Reading the cases, and writing their folders. */
#include "decoder_cases.h"

static const char *stored(const char *dtype)
{
    return !strcmp(dtype, "float16") ? "F16" : !strcmp(dtype, "bfloat16") ? "BF16" : "F32";
}

static void copy_name(char *out, size_t size, pph_str text)
{
    assert_true(text.size < size);
    snprintf(out, size, "%.*s", (int)text.size, text.data ? text.data : "");
}

static void read_tensors(decoder_case *c, const pph_json *json, const char *dtype)
{
    const pph_json *list = pph_json_get(json, "tensors");
    c->tensor_count = pph_json_size(list);
    assert_true(c->tensor_count > 0 && c->tensor_count <= DECODER_TENSORS);
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
}

static size_t read_ids(const pph_json *list, int32_t *out, size_t room)
{
    size_t count = pph_json_size(list);
    assert_true(count > 0 && count <= room);
    for (size_t i = 0; i < count; i++)
        out[i] = (int32_t)pph_json_integer(pph_json_at(list, i));
    return count;
}

static void read_case(decoder_case *c, const pph_json *json)
{
    const pph_json *prompts = pph_json_get(json, "prompts"), *rows = pph_json_get(json, "logits");
    char dtype[20];
    copy_name(c->name, sizeof c->name, pph_json_string(pph_json_get(json, "name")));
    copy_name(c->naming, sizeof c->naming, pph_json_string(pph_json_get(json, "naming")));
    copy_name(c->space, sizeof c->space, pph_json_string(pph_json_get(json, "space")));
    copy_name(dtype, sizeof dtype, pph_json_string(pph_json_get(json, "dtype")));
    c->config = pph_json_string(pph_json_get(json, "config")).data;
    c->shards = (size_t)pph_json_integer(pph_json_get(json, "shards"));
    c->context = (size_t)pph_json_integer(pph_json_get(json, "context"));
    read_tensors(c, json, stored(dtype));
    assert_int_equal(pph_json_size(prompts), DECODER_PROMPTS);
    for (size_t i = 0; i < DECODER_PROMPTS; i++)
        c->lengths[i] = read_ids(pph_json_at(prompts, i), c->prompts[i], DECODER_IDS);
    assert_int_equal(read_ids(pph_json_get(json, "greedy"), c->greedy, DECODER_GREEDY),
                     DECODER_GREEDY);
    assert_int_equal(pph_json_size(rows), DECODER_PROMPTS);
    c->vocabulary = pph_json_size(pph_json_at(rows, 0));
    c->logits = pph_alloc_array(DECODER_PROMPTS * c->vocabulary, sizeof *c->logits);
    assert_non_null(c->logits);
    for (size_t i = 0; i < DECODER_PROMPTS * c->vocabulary; i++)
        c->logits[i] = (float)pph_json_number(
            pph_json_at(pph_json_at(rows, i / c->vocabulary), i % c->vocabulary));
}

decoder_cases decoder_cases_load(void)
{
    decoder_cases cases = {0};
    pph_error err;
    if (pph_json_load(&cases.golden, PPH_GOLDEN_MODEL "/decoder.json", 1 << 20, &err) != PPH_OK)
        fail_msg("%s", err.message);
    const pph_json *list = pph_json_get(cases.golden, "cases");
    cases.count = pph_json_size(list);
    assert_true(cases.count >= 12);
    cases.at = pph_alloc_array(cases.count, sizeof *cases.at);
    assert_non_null(cases.at);
    for (size_t i = 0; i < cases.count; i++)
        read_case(&cases.at[i], pph_json_at(list, i));
    return cases;
}

void decoder_cases_free(decoder_cases *cases)
{
    for (size_t i = 0; i < cases->count; i++)
        pph_free(cases->at[i].logits);
    pph_free(cases->at);
    pph_json_free(&cases->golden);
}

decoder_case decoder_cases_copy(const decoder_cases *cases, const char *name)
{
    for (size_t i = 0; i < cases->count; i++)
        if (!strcmp(cases->at[i].name, name))
            return cases->at[i];
    fail_msg("no case %s", name);
    return cases->at[0];
}

/* A tensor's name as this case's folder spells it. */
static void spell(const decoder_case *c, const char *name, char *out, size_t size)
{
    const char *inner = strncmp(name, "model.", 6) ? name : name + 6;
    if (!strcmp(c->naming, "language_model"))
        snprintf(out, size, "language_model.%s", name);
    else if (!strcmp(c->naming, "model.language_model") && inner != name)
        snprintf(out, size, "model.language_model.%s", inner);
    else
        snprintf(out, size, "%s", strcmp(c->naming, "bare") ? name : inner);
}

/* Shard `shard` of the tensors, every shards-th one of them. */
static void write_shard(const decoder_case *c, const char *path, size_t shard, size_t shards)
{
    synthetic_tensor *some = calloc(DECODER_TENSORS, sizeof *some);
    uint64_t seeds[DECODER_TENSORS];
    size_t count = 0;
    assert_non_null(some);
    for (size_t i = shard; i < c->tensor_count; i += shards, count++) {
        seeds[count] = synthetic_seed(c->space, c->tensors[i].name);
        some[count] = c->tensors[i];
        spell(c, c->tensors[i].name, some[count].name, sizeof some[count].name);
    }
    assert_true(synthetic_write(path, some, seeds, count));
    free(some);
}

made_folder decoder_case_write(const decoder_case *c)
{
    made_folder folder = make_folder();
    char path[160], name[160];
    put_text(&folder, "config.json", c->config);
    if (c->shards < 2) {
        snprintf(path, sizeof path, "%s/model.safetensors", folder.path);
        write_shard(c, path, 0, 1);
        return folder;
    }
    pph_buffer index = {0};
    assert_int_equal(pph_buffer_print(&index, NULL, "{\"metadata\":{},\"weight_map\":{"), PPH_OK);
    for (size_t i = 0; i < c->tensor_count; i++) {
        spell(c, c->tensors[i].name, name, sizeof name);
        assert_int_equal(pph_buffer_print(&index, NULL,
                                          "%s\"%s\":\"model-%05zu-of-%05zu.safetensors\"",
                                          i ? "," : "", name, i % c->shards + 1, c->shards),
                         PPH_OK);
    }
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

synthetic_tensor *decoder_case_tensor(decoder_case *c, const char *name)
{
    for (size_t i = 0; i < c->tensor_count; i++)
        if (!strcmp(c->tensors[i].name, name))
            return &c->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

void decoder_case_drop(decoder_case *c, const char *name)
{
    size_t at = (size_t)(decoder_case_tensor(c, name) - c->tensors);
    memmove(&c->tensors[at], &c->tensors[at + 1],
            (c->tensor_count - at - 1) * sizeof c->tensors[0]);
    c->tensor_count--;
}
