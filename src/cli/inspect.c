/* paraphym inspect: what a model folder holds, from its files alone; nothing is loaded. */
#include "cli/command.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "compute/dtype.h"
#include "image/recipe.h"
#include "text/tokenizer.h"
#include "weights/config.h"
#include "weights/folder.h"
#include "weights/weights.h"
#include <inttypes.h>
#include <stdio.h>

typedef struct model_survey {
    char *folder;
    pph_clip_config config;
    pph_weights *weights;
    pph_recipe recipe;
    bool has_recipe;
    pph_tokenizer *tokenizer;
    pph_error tokenizer_error; /* when there is no tokenizer */
    uint64_t parameters, bytes;
    size_t tensors[PPH_DTYPE_COUNT + 1]; /* the last: of types that are not read */
} model_survey;

static void survey_deinit(model_survey *survey)
{
    pph_weights_close(&survey->weights);
    pph_tokenizer_close(&survey->tokenizer);
    pph_free(survey->folder);
}

static pph_status look(model_survey *out, const char *model, pph_error *err)
{
    PPH_TRY(pph_folder_find(&out->folder, model, err));
    const char *folder = out->folder;
    PPH_TRY(pph_config_read_clip(&out->config, folder, err));
    PPH_TRY(pph_weights_open(&out->weights, folder, err));
    for (size_t i = 0; i < pph_weights_count(out->weights); i++) {
        const pph_tensor *tensor = pph_weights_at(out->weights, i);
        uint64_t elements = 1;
        for (int d = 0; d < tensor->rank; d++)
            elements *= (uint64_t)tensor->shape[d];
        out->parameters += elements;
        out->bytes += tensor->bytes;
        out->tensors[tensor->dtype]++;
    }
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, "preprocessor_config.json");
    if (!path)
        return PPH_FAIL_MEMORY(err, 32);
    out->has_recipe = pph_file_look(path) == PPH_FILE_REGULAR;
    if (out->has_recipe)
        PPH_TRY(pph_recipe_load(&out->recipe, path, err));
    else if (out->config.has_vision)
        out->recipe = pph_recipe_default_clip((uint32_t)out->config.image);
    /* A folder without one is a model all the same. */
    if (pph_tokenizer_open(&out->tokenizer, folder, &out->tokenizer_error) != PPH_OK)
        out->tokenizer = NULL;
    return PPH_OK;
}

static const char *activation(pph_clip_activation value)
{
    static const char *const names[] = {"quick_gelu", "gelu", "gelu_tanh"};
    return names[value];
}

static int dimensions(const model_survey *survey)
{
    const pph_clip_config *config = &survey->config;
    return config->has_vision ? config->vision.projection : config->text.projection;
}

static void print_tower(const char *name, const pph_clip_tower *tower)
{
    printf("  %-10s %d layers, width %d, %d heads, intermediate %d, %s\n", name, tower->layers,
           tower->width, tower->heads, tower->intermediate, activation(tower->activation));
}

static void print_plain(const model_survey *survey)
{
    const pph_clip_config *config = &survey->config;
    pph_command_show(stdout, pph_str_view(survey->folder), 0);
    printf("\n  %-10s clip\n  %-10s %d dimensions\n", "model", "vectors", dimensions(survey));
    if (config->has_vision) {
        print_tower("pictures", &config->vision);
        printf("  %-10s %d pixels a side, patches of %d%s\n", "", config->image, config->patch,
               survey->has_recipe ? "" : " (no preprocessor_config.json: CLIP's own recipe)");
    }
    if (config->has_text) {
        print_tower("texts", &config->text);
        printf("  %-10s up to %d tokens of %d\n", "", config->context, config->vocabulary);
    }
    printf("  %-10s %s\n", "tokenizer",
           survey->tokenizer ? "yes" : survey->tokenizer_error.message);
    printf("  %-10s %" PRIu64 " parameters in %zu tensors, %.1f MB:", "weights", survey->parameters,
           pph_weights_count(survey->weights), (double)survey->bytes / 1e6);
    for (int type = 0; type < PPH_DTYPE_COUNT; type++)
        if (survey->tensors[type])
            printf(" %zu %s", survey->tensors[type], pph_dtype_name((pph_dtype)type));
    if (survey->tensors[PPH_DTYPE_COUNT])
        printf(" %zu of types that are not read", survey->tensors[PPH_DTYPE_COUNT]);
    printf("\n");
}

static pph_status write_tower(pph_buffer *out, const char *name, const pph_clip_tower *tower,
                              pph_error *err)
{
    return pph_buffer_print(out, err,
                            ",\"%s\":{\"layers\":%d,\"width\":%d,\"heads\":%d,"
                            "\"intermediate\":%d,\"activation\":\"%s\"}",
                            name, tower->layers, tower->width, tower->heads, tower->intermediate,
                            activation(tower->activation));
}

static pph_status write_tensor(pph_buffer *out, const model_survey *survey,
                               const pph_tensor *tensor, pph_error *err)
{
    PPH_TRY(pph_buffer_print(out, err, "{\"name\":"));
    PPH_TRY(pph_json_write_string(out, pph_str_view(tensor->name), err));
    PPH_TRY(pph_buffer_print(out, err, ",\"type\":"));
    PPH_TRY(pph_json_write_string(out, pph_str_view(tensor->stored), err));
    PPH_TRY(pph_buffer_print(out, err, ",\"shape\":["));
    for (int d = 0; d < tensor->rank; d++)
        PPH_TRY(pph_buffer_print(out, err, "%s%" PRId64, d ? "," : "", tensor->shape[d]));
    PPH_TRY(pph_buffer_print(out, err, "],\"file\":"));
    PPH_TRY(
        pph_json_write_string(out, pph_str_view(pph_weights_file(survey->weights, tensor)), err));
    return pph_buffer_print(out, err, "}");
}

static pph_status print_json(const model_survey *survey, bool tensors, pph_error *err)
{
    const pph_clip_config *config = &survey->config;
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = {0};
    PPH_TRY(pph_buffer_print(&out, err, "{\"model\":"));
    PPH_TRY(pph_json_write_string(&out, pph_str_view(survey->folder), err));
    PPH_TRY(pph_buffer_print(&out, err, ",\"architecture\":\"clip\",\"dimensions\":%d",
                             dimensions(survey)));
    if (config->has_vision) {
        PPH_TRY(write_tower(&out, "vision", &config->vision, err));
        PPH_TRY(pph_buffer_print(&out, err, ",\"image_size\":%d,\"patch_size\":%d", config->image,
                                 config->patch));
    }
    if (config->has_text) {
        PPH_TRY(write_tower(&out, "text", &config->text, err));
        PPH_TRY(pph_buffer_print(&out, err, ",\"context\":%d,\"vocabulary\":%d", config->context,
                                 config->vocabulary));
    }
    PPH_TRY(pph_buffer_print(&out, err,
                             ",\"tokenizer\":%s,\"parameters\":%" PRIu64
                             ",\"tensors\":%zu,\"bytes\":%" PRIu64,
                             survey->tokenizer ? "true" : "false", survey->parameters,
                             pph_weights_count(survey->weights), survey->bytes));
    if (tensors)
        PPH_TRY(pph_buffer_print(&out, err, ",\"tensor_list\":["));
    for (size_t i = 0; tensors && i < pph_weights_count(survey->weights); i++) {
        if (i)
            PPH_TRY(pph_buffer_print(&out, err, ","));
        PPH_TRY(write_tensor(&out, survey, pph_weights_at(survey->weights, i), err));
    }
    PPH_TRY(pph_buffer_print(&out, err, tensors ? "]}\n" : "}\n"));
    return pph_command_write(&out, err);
}

/* Every tensor: name, type, shape, file. */
static void print_tensors(const model_survey *survey)
{
    for (size_t i = 0; i < pph_weights_count(survey->weights); i++) {
        const pph_tensor *tensor = pph_weights_at(survey->weights, i);
        size_t width = pph_command_show(stdout, pph_str_view(tensor->name), 0);
        printf("%*s ", width < 80 ? (int)(80 - width) : 0, "");
        pph_command_show(stdout, pph_str_view(tensor->stored), 0);
        printf(" [");
        for (int d = 0; d < tensor->rank; d++)
            printf("%s%" PRId64, d ? "," : "", tensor->shape[d]);
        printf("] %s\n", pph_weights_file(survey->weights, tensor));
    }
}

static pph_status take_model(void *context, const char *option, const char *value, pph_error *err)
{
    const char **model = context;
    (void)option;
    if (*model)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "one model at a time: '%s' or '%s'", *model,
                        value);
    *model = value;
    return PPH_OK;
}

int pph_inspect_run(const pph_command *self, int argc, char **argv)
{
    const char *named = NULL;
    bool tensors = false;
    const pph_option own[] = {
        {"tensors", 0, PPH_OPTION_FLAG, &tensors, 0, 0, NULL, "list every tensor as well"}, {0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_model, &named);
    if (leave >= 0)
        return leave;
    if (named)
        common.model = named;
    pph_error error;
    PPH_AUTO(pph_free_at) char *folder = NULL;
    PPH_AUTO(survey_deinit) model_survey survey = {0};
    if (pph_command_model(&common, &folder, &error) != PPH_OK ||
        look(&survey, folder, &error) != PPH_OK)
        return pph_command_failed(&error);
    if (common.json && print_json(&survey, tensors, &error) != PPH_OK)
        return pph_command_failed(&error);
    if (!common.json)
        print_plain(&survey);
    if (!common.json && tensors)
        print_tensors(&survey);
    return pph_command_finish(PPH_EXIT_OK);
}
