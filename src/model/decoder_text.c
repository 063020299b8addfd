/* Finds a model's chat template among the files that may have it. Stateless. */
#include "model/decoder_text.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <string.h>

#define JSON_LIMIT     ((size_t)64 << 20)
#define TEMPLATE_LIMIT ((size_t)1 << 20)

static pph_status copy(char **out, pph_str text, pph_error *err)
{
    if (text.size > TEMPLATE_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "the chat template has %zu bytes; at most %zu are read",
                        text.size, TEMPLATE_LIMIT);
    *out = pph_str_copy(text);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, text.size + 1);
}

/* A text, or a list of {"name": …, "template": …}. */
static pph_str of_json(const pph_json *value)
{
    for (size_t i = 0; pph_json_is_array(value) && i < pph_json_size(value); i++) {
        const pph_json *item = pph_json_at(value, i);
        if (pph_str_equal(pph_json_string(pph_json_get(item, "name")), PPH_STR("default")))
            return pph_json_string(pph_json_get(item, "template"));
    }
    return pph_json_string(value);
}

static pph_status from_file(char **out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, "chat_template.jinja");
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(TEMPLATE_LIMIT);
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(folder) + 32);
    if (pph_file_look(path) == PPH_FILE_MISSING)
        return PPH_OK;
    PPH_TRY(pph_file_read(path, &bytes, err));
    pph_str text = {(const char *)bytes.data, bytes.size};
    if (pph_utf8_check(text) != SIZE_MAX)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: is no UTF-8", path);
    return text.size ? copy(out, text, err) : PPH_OK;
}

static pph_status from_json(char **out, const char *folder, const char *name, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, name);
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(folder) + strlen(name));
    if (*out || pph_file_look(path) == PPH_FILE_MISSING)
        return PPH_OK;
    PPH_TRY(pph_json_load(&root, path, JSON_LIMIT, err));
    pph_str text = of_json(pph_json_get(root, "chat_template"));
    return text.size ? copy(out, text, err) : PPH_OK;
}

pph_status pph_decoder_text_template(char **out, const pph_decoder_source *source, pph_error *err)
{
    *out = NULL;
    if (!source->weights) {
        pph_str text = pph_gguf_text(pph_gguf_files_keys(&source->gguf), "tokenizer.chat_template");
        return text.size ? copy(out, text, err) : PPH_OK;
    }
    PPH_TRY(from_file(out, source->folder, err));
    PPH_TRY(from_json(out, source->folder, "chat_template.json", err));
    return from_json(out, source->folder, "tokenizer_config.json", err);
}
