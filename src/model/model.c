/* The table of architectures, and the step from a folder to one of them. Owns the opened state;
 * computes nothing. */
#include "model/model.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "weights/folder.h"
#include <string.h>

typedef struct row {
    const char *model_type;
    const pph_architecture *architecture;
} row;

static const row table[] = {
    {"clip", &pph_clip_architecture},
    {"clip_vision_model", &pph_clip_architecture},
    {"clip_text_model", &pph_clip_architecture},
    {"bert", &pph_bert_architecture},
    {"jina_bert", &pph_bert_architecture},
    {"roberta", &pph_bert_architecture},
    {"xlm-roberta", &pph_bert_architecture},
    {"camembert", &pph_bert_architecture},
    {"distilbert", &pph_bert_architecture},
    {"mpnet", &pph_bert_architecture},
    {"nomic_bert", &pph_bert_architecture},
    {"llama", &pph_decoder_embedder_architecture},
    {"mistral", &pph_decoder_embedder_architecture},
    {"qwen2", &pph_decoder_embedder_architecture},
    {"qwen3", &pph_decoder_embedder_architecture},
    {"phi3", &pph_decoder_embedder_architecture},
};

/* A config.json is a few kilobytes; those of large vocabularies of labels reach a few megabytes. */
#define CONFIG_LIMIT ((size_t)16 << 20)

struct pph_model {
    const row *row;
    pph_model_info info;
    void *state;
};

static const row *find(pph_str model_type)
{
    for (size_t i = 0; i < PPH_COUNT(table); i++)
        if (pph_str_equal(model_type, pph_str_view(table[i].model_type)))
            return &table[i];
    return NULL;
}

const pph_architecture *pph_model_find(const char *model_type)
{
    const row *found = find(pph_str_view(model_type));
    return found ? found->architecture : NULL;
}

/* The row that `folder`/config.json asks for. */
static pph_status choose(const row **out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, "config.json");
    PPH_AUTO(pph_json_free) pph_json *config = NULL;
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(folder) + sizeof "/config.json");
    PPH_TRY(pph_json_load(&config, path, CONFIG_LIMIT, err));
    pph_str type = pph_json_string(pph_json_get(config, "model_type"));
    *out = find(type);
    if (*out)
        return PPH_OK;
    if (!type.size)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%.200s says no model_type, so what it is cannot be told", path);
    PPH_AUTO(pph_buffer_deinit) pph_buffer known = {0};
    for (size_t i = 0; i < PPH_COUNT(table); i++)
        PPH_TRY(pph_buffer_print(&known, err, "%s%s", i ? ", " : "", table[i].model_type));
    const char *names = pph_buffer_text(&known);
    return PPH_FAIL(err, PPH_UNSUPPORTED, "%.200s: model_type '%.60s' is not one of: %s", path,
                    type.data, names ? names : "");
}

pph_status pph_model_open(pph_model **out, const char *folder, const pph_model_options *options,
                          pph_error *err)
{
    PPH_AUTO(pph_free_at) char *found = NULL;
    PPH_AUTO(pph_model_close) pph_model *model = pph_alloc(sizeof *model);
    if (!model)
        return PPH_FAIL_MEMORY(err, sizeof *model);
    PPH_TRY(pph_folder_find(&found, folder, err));
    PPH_TRY(choose(&model->row, found, err));
    PPH_TRY(model->row->architecture->open(&model->state, found, options, err));
    model->info = model->row->architecture->describe(model->state);
    *out = PPH_TAKE(model);
    return PPH_OK;
}

pph_status pph_model_share(pph_model **out, const pph_model *model, pph_error *err)
{
    PPH_AUTO(pph_model_close) pph_model *other = pph_alloc(sizeof *other);
    if (!other)
        return PPH_FAIL_MEMORY(err, sizeof *other);
    other->row = model->row;
    other->info = model->info;
    if (!model->row->architecture->share)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "models of type '%s' do not share their weights",
                        model->row->model_type);
    PPH_TRY(model->row->architecture->share(&other->state, model->state, err));
    *out = PPH_TAKE(other);
    return PPH_OK;
}

void pph_model_close(pph_model **model)
{
    pph_model *m = *model;
    if (!m)
        return;
    if (m->state)
        m->row->architecture->close(&m->state);
    pph_free(m);
    *model = NULL;
}

const char *pph_model_type(const pph_model *model)
{
    return model->row->model_type;
}

const pph_model_info *pph_model_describe(const pph_model *model)
{
    return &model->info;
}

size_t pph_model_bytes(const pph_model *model)
{
    return sizeof *model + model->row->architecture->bytes(model->state);
}

size_t pph_model_working_bytes(const pph_model *model)
{
    const pph_architecture *how = model->row->architecture;
    return how->working_bytes ? how->working_bytes(model->state) : 0;
}

static pph_status refuse(const pph_model *model, const char *what, pph_error *err)
{
    return PPH_FAIL(err, PPH_UNSUPPORTED, "a model of type '%s' embeds no %s",
                    model->row->model_type, what);
}

pph_status pph_model_embed_pixels(pph_model *model, size_t count, const float *const *pictures,
                                  float *out, const pph_done *done, pph_error *err)
{
    const pph_architecture *how = model->row->architecture;
    return how->embed_pixels ? how->embed_pixels(model->state, count, pictures, out, done, err)
                             : refuse(model, "pictures", err);
}

pph_status pph_model_embed_texts(pph_model *model, const pph_texts *texts, float *out,
                                 pph_error *err)
{
    const pph_architecture *how = model->row->architecture;
    return how->embed_texts ? how->embed_texts(model->state, texts, out, err)
                            : refuse(model, "texts", err);
}
