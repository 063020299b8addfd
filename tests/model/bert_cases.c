/* Reading the cases, and writing their folders. */
#include "bert_cases.h"

#include <ftw.h>
#include <sys/stat.h>

static void copy_text(char *out, size_t size, pph_str text)
{
    assert_true(text.size < size);
    snprintf(out, size, "%.*s", (int)text.size, text.data ? text.data : "");
}

static const char *stored(pph_str dtype)
{
    return pph_str_equal(dtype, PPH_STR("float16"))    ? "F16"
           : pph_str_equal(dtype, PPH_STR("bfloat16")) ? "BF16"
                                                       : "F32";
}

static void read_tensors(bert_case *c, const pph_json *list, const char *dtype)
{
    c->tensor_count = pph_json_size(list);
    assert_true(c->tensor_count > 0 && c->tensor_count <= BERT_TENSORS);
    for (size_t i = 0; i < c->tensor_count; i++) {
        const pph_json *item = pph_json_at(list, i), *shape = pph_json_at(item, 1);
        synthetic_tensor *t = &c->tensors[i];
        copy_text(t->name, sizeof t->name, pph_json_string(pph_json_at(item, 0)));
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

static void read_texts(bert_case *c, const pph_json *json)
{
    const pph_json *texts = pph_json_get(json, "texts");
    const pph_json *seconds = pph_json_get(json, "seconds"),
                   *skipped = pph_json_get(json, "skipped");
    size_t used = 0;
    c->texts = pph_json_size(texts);
    assert_true(c->texts && c->texts <= BERT_TEXTS);
    for (size_t i = 0; i < c->texts; i++) {
        const pph_json *ids = pph_json_at(texts, i);
        c->lengths[i] = pph_json_size(ids);
        c->seconds[i] = seconds ? (size_t)pph_json_integer(pph_json_at(seconds, i)) : c->lengths[i];
        c->skipped[i] = (size_t)pph_json_integer(pph_json_at(skipped, i));
        for (size_t k = 0; k < c->lengths[i]; k++) {
            assert_true(used < BERT_IDS);
            c->ids[used++] = (int32_t)pph_json_integer(pph_json_at(ids, k));
        }
    }
}

static void read_vectors(bert_case *c, const pph_json *list)
{
    assert_int_equal(pph_json_size(list), c->texts);
    c->dimensions = pph_json_size(pph_json_at(list, 0));
    c->vectors = pph_alloc_array(c->texts * c->dimensions, sizeof *c->vectors);
    assert_non_null(c->vectors);
    for (size_t i = 0; i < c->texts * c->dimensions; i++)
        c->vectors[i] = (float)pph_json_number(
            pph_json_at(pph_json_at(list, i / c->dimensions), i % c->dimensions));
}

bert_cases bert_cases_load(void)
{
    return bert_cases_load_file("bert.json", 19);
}

bert_cases bert_cases_load_file(const char *name, size_t least)
{
    bert_cases cases = {0};
    char path[512];
    pph_error err;
    snprintf(path, sizeof path, "%s/%s", PPH_GOLDEN_MODEL, name);
    if (pph_json_load(&cases.golden, path, 1 << 20, &err) != PPH_OK)
        fail_msg("%s", err.message);
    const pph_json *list = pph_json_get(cases.golden, "cases");
    cases.count = pph_json_size(list);
    assert_true(cases.count >= least);
    cases.at = pph_alloc_array(cases.count, sizeof *cases.at);
    assert_non_null(cases.at);
    for (size_t i = 0; i < cases.count; i++) {
        const pph_json *json = pph_json_at(list, i);
        bert_case *c = &cases.at[i];
        copy_text(c->name, sizeof c->name, pph_json_string(pph_json_get(json, "name")));
        copy_text(c->config, sizeof c->config, pph_json_string(pph_json_get(json, "config")));
        c->files = pph_json_get(json, "files");
        read_tensors(c, pph_json_get(json, "tensors"),
                     stored(pph_json_string(pph_json_get(json, "dtype"))));
        read_texts(c, json);
        read_vectors(c, pph_json_get(json, "vectors"));
    }
    return cases;
}

void bert_cases_free(bert_cases *cases)
{
    for (size_t i = 0; i < cases->count; i++)
        pph_free(cases->at[i].vectors);
    pph_free(cases->at);
    pph_json_free(&cases->golden);
}

bert_case bert_cases_copy(const bert_cases *cases, const char *name)
{
    for (size_t i = 0; i < cases->count; i++)
        if (!strcmp(cases->at[i].name, name))
            return cases->at[i];
    fail_msg("no case %s", name);
    return cases->at[0];
}

pph_texts bert_case_texts(const bert_case *c)
{
    return (pph_texts){.count = c->texts,
                       .ids = c->ids,
                       .lengths = c->lengths,
                       .seconds = c->seconds,
                       .skipped = c->skipped};
}

/* The folder of a module's file, made when it is not there; "" for the model's own. */
static void make_part(const made_folder *folder, const char *name, char *part, size_t size)
{
    const char *slash = strchr(name, '/');
    copy_text(part, size, (pph_str){name, slash ? (size_t)(slash - name) : 0});
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder->path, part);
    if (slash)
        (void)mkdir(path, 0777);
}

/* The tensors of one folder into its file. */
static void write_weights(const bert_case *c, const made_folder *folder, const char *part)
{
    synthetic_tensor *some = calloc(BERT_TENSORS, sizeof *some);
    uint64_t *seeds = calloc(BERT_TENSORS, sizeof *seeds);
    size_t count = 0, length = strlen(part);
    assert_true(some && seeds);
    for (size_t i = 0; i < c->tensor_count; i++) {
        const char *name = c->tensors[i].name, *slash = strchr(name, '/');
        if ((slash ? (size_t)(slash - name) : 0) != length || strncmp(name, part, length) != 0)
            continue;
        seeds[count] = synthetic_seed(c->name, name);
        some[count] = c->tensors[i];
        copy_text(some[count].name, sizeof some->name, pph_str_view(slash ? slash + 1 : name));
        count++;
    }
    char path[200];
    snprintf(path, sizeof path, "%s/%s%smodel.safetensors", folder->path, part, length ? "/" : "");
    if (count)
        assert_true(synthetic_write(path, some, seeds, count));
    free(some);
    free(seeds);
}

made_folder bert_case_write(const bert_case *c)
{
    made_folder folder = make_folder();
    char part[100];
    put_text(&folder, "config.json", c->config);
    write_weights(c, &folder, "");
    for (void *it = pph_json_first(c->files); it; it = pph_json_next(c->files, it)) {
        char name[100];
        copy_text(name, sizeof name, pph_json_key(it));
        make_part(&folder, name, part, sizeof part);
        pph_str text = pph_json_string(pph_json_value(it));
        put_bytes(&folder, name, text.data, text.size);
        if (part[0])
            write_weights(c, &folder, part);
    }
    return folder;
}

static int remove_one(const char *path, const struct stat *what, int kind, struct FTW *where)
{
    (void)what, (void)kind, (void)where;
    return remove(path);
}

void bert_case_remove(made_folder *folder)
{
    assert_int_equal(nftw(folder->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void bert_case_drop(bert_case *c, const char *start)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->tensor_count; i++)
        if (strncmp(c->tensors[i].name, start, strlen(start)) != 0)
            c->tensors[kept++] = c->tensors[i];
    assert_true(kept < c->tensor_count);
    c->tensor_count = kept;
}
