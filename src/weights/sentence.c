/* The settings of sentence-transformers. What would change a vector and is not computed is refused by
 * name; what does not concern inference is passed over. Paths inside the folder are taken as plain
 * names: none leads out of it. */
#include "weights/sentence.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <string.h>

#define FILE_LIMIT ((size_t)4 << 20)

pph_status pph_sentence_new(pph_sentence **out, pph_error *err)
{
    pph_sentence *made = pph_alloc(sizeof *made);
    if (!made)
        return PPH_FAIL_MEMORY(err, sizeof *made);
    made->poolings = PPH_POOL_MEAN;
    made->chosen = -1;
    *out = made;
    return PPH_OK;
}

void pph_sentence_free(pph_sentence **sentence)
{
    pph_sentence *s = PPH_TAKE(*sentence);
    if (!s)
        return;
    for (size_t i = 0; i < s->prompt_count; i++) {
        pph_free(s->prompts[i].name);
        pph_free(s->prompts[i].text);
    }
    pph_free(s->prompts);
    pph_free(s);
}

/* ---- modules.json ---- */

/* "sentence_transformers.models.Pooling": what stands behind the last dot. */
static pph_str last_word(pph_str name)
{
    size_t at = name.size;
    while (at && name.data[at - 1] != '.')
        at--;
    return at ? (pph_str){name.data + at, name.size - at} : name;
}

/* A module's folder: one plain name, or nothing. */
static pph_status take_folder(char out[64], pph_str path, pph_error *err)
{
    if (path.size >= 64 || (path.size && (memchr(path.data, '/', path.size) ||
                                          path.data[0] == '.' || memchr(path.data, 0, path.size))))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "a module's path '%.*s' is no plain folder name",
                        (int)PPH_MIN(path.size, (size_t)60), path.data);
    memcpy(out, path.data ? path.data : "", path.size);
    out[path.size] = 0;
    return PPH_OK;
}

static pph_status add_step(pph_sentence *s, bool normalize, pph_str path, pph_error *err)
{
    if (s->step_count == PPH_SENTENCE_STEPS)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "more than %d modules follow the pooling",
                        PPH_SENTENCE_STEPS);
    pph_sentence_step *step = &s->steps[s->step_count];
    *step = (pph_sentence_step){.normalize = normalize};
    PPH_TRY(take_folder(step->folder, path, err));
    if (!normalize && !step->folder[0])
        return PPH_FAIL(err, PPH_CORRUPT, "a Dense module names no folder");
    s->step_count++;
    return PPH_OK;
}

/* place  of the module among those that count; the encoder is first, then comes the pooling */
static pph_status take_module(pph_sentence *s, pph_sentence_modules *modules, size_t *place,
                              const pph_json *module, pph_error *err)
{
    pph_str type = pph_json_string(pph_json_get(module, "type")), kind = last_word(type);
    pph_str path = pph_json_string(pph_json_get(module, "path"));
    if (pph_str_equal(kind, PPH_STR("Dropout")))
        return PPH_OK; /* of training */
    size_t at = (*place)++;
    bool encoder = pph_str_equal(kind, PPH_STR("Transformer"));
    bool pooling = pph_str_equal(kind, PPH_STR("Pooling"));
    if ((at == 0) != encoder || (at == 1) != pooling)
        return PPH_FAIL(
            err, PPH_UNSUPPORTED,
            "module %zu is '%.*s': a Transformer, then a Pooling, then Dense and Normalize "
            "are computed",
            at, (int)PPH_MIN(type.size, (size_t)80), type.data);
    if (encoder && path.size)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the Transformer stands in '%.*s'; it is looked for in the model's folder "
                        "itself: move its files there",
                        (int)PPH_MIN(path.size, (size_t)60), path.data);
    if (encoder)
        return PPH_OK;
    if (pooling)
        return take_folder(modules->pooling, path, err);
    if (pph_str_equal(kind, PPH_STR("Normalize")))
        return add_step(s, true, (pph_str){NULL, 0}, err);
    if (pph_str_equal(kind, PPH_STR("Dense")))
        return add_step(s, false, path, err);
    return PPH_FAIL(err, PPH_UNSUPPORTED, "module %zu is '%.*s', which is not computed", at,
                    (int)PPH_MIN(type.size, (size_t)80), type.data);
}

pph_status pph_sentence_parse_modules(pph_sentence *sentence, pph_sentence_modules *modules,
                                      const char *name, const void *bytes, size_t size,
                                      pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    size_t place = 0;
    *modules = (pph_sentence_modules){{0}};
    PPH_TRY(pph_json_parse(&root, bytes, size, name, err));
    if (!pph_json_is_array(root) || !pph_json_size(root))
        return PPH_FAIL(err, PPH_CORRUPT, "%.200s is not a list of modules", name);
    for (size_t i = 0; i < pph_json_size(root); i++) {
        pph_status status = take_module(sentence, modules, &place, pph_json_at(root, i), err);
        if (status != PPH_OK)
            return pph_error_prefix(err, status, name);
    }
    sentence->found = true;
    return PPH_OK;
}

/* ---- the modules' files ---- */

static pph_status parse_text(pph_sentence *s, const pph_json *root, pph_error *err)
{
    int64_t most = 0;
    PPH_TRY(pph_json_get_integer(root, "max_seq_length", 1, 1 << 20, 0, &most, err));
    PPH_TRY(pph_json_get_bool(root, "do_lower_case", false, &s->lower_case, err));
    s->max_tokens = (size_t)most;
    return PPH_OK;
}

/* The newer spelling: "pooling_mode": one name, or a list of them. */
static unsigned pooling_named(pph_str name)
{
    static const char *const names[PPH_POOLINGS] = {
        "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"};
    for (unsigned i = 0; i < PPH_POOLINGS; i++)
        if (pph_str_equal(name, pph_str_view(names[i])))
            return 1U << i;
    return 0;
}

static pph_status parse_pooling(pph_sentence *s, const pph_json *root, pph_error *err)
{
    static const char *const keys[PPH_POOLINGS] = {
        "pooling_mode_cls_token",           "pooling_mode_max_tokens",
        "pooling_mode_mean_tokens",         "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"};
    const pph_json *mode = pph_json_get(root, "pooling_mode");
    bool flagged = false, included = true;
    s->poolings = 0;
    for (unsigned i = 0; i < PPH_POOLINGS; i++) {
        bool on = false;
        PPH_TRY(pph_json_get_bool(root, keys[i], false, &on, err));
        flagged = flagged || !pph_json_is_null(pph_json_get(root, keys[i]));
        s->poolings |= (unsigned)on << i;
    }
    size_t count = pph_json_is_array(mode) ? pph_json_size(mode) : !pph_json_is_null(mode);
    for (size_t i = 0; i < count && !flagged; i++) {
        pph_str name = pph_json_string(pph_json_is_array(mode) ? pph_json_at(mode, i) : mode);
        unsigned bit = pooling_named(name);
        if (!bit)
            return PPH_FAIL(err, PPH_UNSUPPORTED, "'pooling_mode' is '%.*s', which is not known",
                            (int)PPH_MIN(name.size, (size_t)40), name.data ? name.data : "");
        s->poolings |= bit;
    }
    if (!flagged && !count)
        s->poolings = PPH_POOL_MEAN;
    if (!s->poolings)
        return PPH_FAIL(err, PPH_CORRUPT, "no pooling is switched on");
    PPH_TRY(pph_json_get_bool(root, "include_prompt", true, &included, err));
    s->skip_prompt = !included;
    return PPH_OK;
}

static pph_status parse_dense(pph_sentence *s, const pph_json *root, pph_error *err)
{
    static const struct {
        const char *name;
        pph_sentence_activation activation;
    } known[] = {
        {"Identity", PPH_SENTENCE_IDENTITY}, {"Tanh", PPH_SENTENCE_TANH},
        {"Sigmoid", PPH_SENTENCE_SIGMOID},   {"ReLU", PPH_SENTENCE_RELU},
        {"GELU", PPH_SENTENCE_GELU},         {"SiLU", PPH_SENTENCE_SILU},
    };
    if (!s->step_count)
        return PPH_FAIL(err, PPH_INTERNAL, "there is no layer that this could be of");
    pph_sentence_step *step = &s->steps[s->step_count - 1];
    int64_t inputs = 0, outputs = 0;
    PPH_TRY(pph_json_get_integer(root, "in_features", 1, 65536, 0, &inputs, err));
    PPH_TRY(pph_json_get_integer(root, "out_features", 1, 65536, 0, &outputs, err));
    PPH_TRY(pph_json_get_bool(root, "bias", true, &step->bias, err));
    if (!inputs || !outputs)
        return PPH_FAIL(err, PPH_CORRUPT, "'in_features' or 'out_features' is missing");
    step->inputs = (int)inputs;
    step->outputs = (int)outputs;
    pph_str name = pph_json_string(pph_json_get(root, "activation_function"));
    if (!name.size)
        name = PPH_STR("Tanh"); /* what is meant where the file says nothing */
    for (size_t i = 0; i < PPH_COUNT(known); i++)
        if (pph_str_equal(last_word(name), pph_str_view(known[i].name))) {
            step->activation = known[i].activation;
            return PPH_OK;
        }
    return PPH_FAIL(
        err, PPH_UNSUPPORTED,
        "'activation_function' is '%.*s'; known are Identity, Tanh, Sigmoid, ReLU, GELU "
        "and SiLU",
        (int)PPH_MIN(name.size, (size_t)80), name.data);
}

/* ---- prompts ---- */

static pph_status add_prompt(pph_sentence *s, pph_str name, pph_str text, pph_error *err)
{
    if (s->prompt_count == PPH_SENTENCE_PROMPTS)
        return PPH_FAIL(err, PPH_TOO_LARGE, "there are more than %d prompts", PPH_SENTENCE_PROMPTS);
    if (memchr(text.data ? text.data : "", 0, text.size))
        return PPH_FAIL(err, PPH_CORRUPT, "a prompt contains a zero character");
    pph_sentence_prompt *prompt = &s->prompts[s->prompt_count];
    prompt->name = pph_str_copy(name);
    prompt->text = pph_str_copy(text);
    s->prompt_count++;
    if (!prompt->name || !prompt->text)
        return PPH_FAIL_MEMORY(err, name.size + text.size);
    return PPH_OK;
}

static pph_status parse_config(pph_sentence *s, const pph_json *root, pph_error *err)
{
    const pph_json *prompts = pph_json_get(root, "prompts");
    if (!pph_json_is_null(prompts) && !pph_json_is_object(prompts))
        return PPH_FAIL(err, PPH_CORRUPT, "'prompts' is not an object");
    if (!s->prompts && !(s->prompts = pph_alloc_array(PPH_SENTENCE_PROMPTS, sizeof *s->prompts)))
        return PPH_FAIL_MEMORY(err, PPH_SENTENCE_PROMPTS * sizeof *s->prompts);
    for (void *it = pph_json_first(prompts); it; it = pph_json_next(prompts, it)) {
        if (!pph_json_is_string(pph_json_value(it)))
            return PPH_FAIL(err, PPH_CORRUPT, "a prompt is not a text");
        PPH_TRY(add_prompt(s, pph_json_key(it), pph_json_string(pph_json_value(it)), err));
    }
    pph_str chosen = pph_json_string(pph_json_get(root, "default_prompt_name"));
    if (!chosen.size)
        return PPH_OK;
    for (size_t i = 0; i < s->prompt_count; i++)
        if (pph_str_equal(chosen, pph_str_view(s->prompts[i].name)))
            s->chosen = (int)i;
    if (s->chosen < 0)
        return PPH_FAIL(err, PPH_CORRUPT, "'default_prompt_name' is '%.*s', which no prompt has",
                        (int)PPH_MIN(chosen.size, (size_t)60), chosen.data);
    return PPH_OK;
}

static const pph_sentence_prompt *prompt_of(const pph_sentence *s, const char *name)
{
    for (size_t i = 0; i < s->prompt_count; i++)
        if (strcmp(s->prompts[i].name, name) == 0)
            return &s->prompts[i];
    return NULL;
}

static pph_status refuse_task(const pph_sentence *s, const char *task, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer names = {0};
    for (size_t i = 0; i < s->prompt_count && names.size < 200; i++)
        PPH_TRY(pph_buffer_print(&names, err, ", %.60s", s->prompts[i].name));
    const char *list = pph_buffer_text(&names);
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                    "the model knows no task '%.60s': there are query, document%s", task,
                    list ? list : "");
}

pph_status pph_sentence_find(const pph_sentence *sentence, const char *task, pph_str *prompt,
                             pph_error *err)
{
    const pph_sentence_prompt *found = NULL;
    if (task)
        found = prompt_of(sentence, task);
    else if (sentence->chosen >= 0)
        found = &sentence->prompts[sentence->chosen];
    bool document = task && strcmp(task, "document") == 0;
    if (!found && document)
        found = prompt_of(sentence, "passage");
    if (!found && document)
        found = prompt_of(sentence, "corpus");
    if (!found && task && !document && strcmp(task, "query") != 0)
        return refuse_task(sentence, task, err);
    *prompt = found ? pph_str_view(found->text) : (pph_str){NULL, 0};
    return PPH_OK;
}

/* ---- reading ---- */

pph_status pph_sentence_parse(pph_sentence *sentence, pph_sentence_file file, const char *name,
                              const void *bytes, size_t size, pph_error *err)
{
    static pph_status (*const parsers[PPH_SENTENCE_FILES])(pph_sentence *, const pph_json *,
                                                           pph_error *) = {
        [PPH_SENTENCE_TEXT] = parse_text,
        [PPH_SENTENCE_POOLING] = parse_pooling,
        [PPH_SENTENCE_DENSE] = parse_dense,
        [PPH_SENTENCE_CONFIG] = parse_config,
    };
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_TRY(pph_json_parse(&root, bytes, size, name, err));
    if (!pph_json_is_object(root))
        return PPH_FAIL(err, PPH_CORRUPT, "%.200s is not a JSON object", name);
    pph_status status = parsers[file](sentence, root, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, name);
}

/* folder/name, or folder/part/name, on the heap. */
static pph_status locate(char **out, const char *folder, const char *part, const char *name,
                         pph_error *err)
{
    PPH_AUTO(pph_free_at) char *base = pph_path_join(folder, part);
    if (!base || !(*out = pph_path_join(*part ? base : folder, name)))
        return PPH_FAIL_MEMORY(err, strlen(folder) + strlen(part) + strlen(name) + 3);
    return PPH_OK;
}

/* Read one of the files. optional: it may not be there. */
static pph_status read_file(pph_sentence *s, pph_sentence_file file, const char *folder,
                            const char *part, const char *name, bool optional, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_TRY(locate(&path, folder, part, name, err));
    if (optional && pph_file_look(path) == PPH_FILE_MISSING)
        return PPH_OK;
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(FILE_LIMIT);
    PPH_TRY(pph_file_read(path, &bytes, err));
    return pph_sentence_parse(s, file, path, bytes.data, bytes.size, err);
}

static pph_status read_modules(pph_sentence *s, pph_sentence_modules *modules, const char *folder,
                               pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_TRY(locate(&path, folder, "", "modules.json", err));
    if (pph_file_look(path) == PPH_FILE_MISSING)
        return PPH_OK;
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(FILE_LIMIT);
    PPH_TRY(pph_file_read(path, &bytes, err));
    return pph_sentence_parse_modules(s, modules, path, bytes.data, bytes.size, err);
}

pph_status pph_sentence_read(pph_sentence **out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_sentence_free) pph_sentence *s = NULL;
    pph_sentence_modules modules = {{0}};
    PPH_TRY(pph_sentence_new(&s, err));
    PPH_TRY(read_modules(s, &modules, folder, err));
    PPH_TRY(read_file(s, PPH_SENTENCE_TEXT, folder, "", "sentence_bert_config.json", true, err));
    PPH_TRY(read_file(s, PPH_SENTENCE_CONFIG, folder, "", "config_sentence_transformers.json", true,
                      err));
    if (modules.pooling[0])
        PPH_TRY(
            read_file(s, PPH_SENTENCE_POOLING, folder, modules.pooling, "config.json", false, err));
    /* A layer's file fills in the last step: take them one after the other. */
    size_t count = s->step_count;
    for (size_t i = 0; i < count; i++) {
        s->step_count = i + 1;
        if (!s->steps[i].normalize)
            PPH_TRY(read_file(s, PPH_SENTENCE_DENSE, folder, s->steps[i].folder, "config.json",
                              false, err));
    }
    *out = PPH_TAKE(s);
    return PPH_OK;
}
