/* Names and recipes of LLaVA's picture half. Stateless. */
#include "model/llava_files.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/clip_parts.h"
#include <stdio.h>
#include <string.h>

/* transformers 4 and 5 put different words in front of the same names. */
pph_status pph_llava_names_folder(pph_llava_names *out, const pph_weights *weights, pph_error *err)
{
    static const struct {
        const char *tower, *projector;
    } forms[] = {
        {"vision_tower.vision_model.", "multi_modal_projector."},
        {"model.vision_tower.vision_model.", "model.multi_modal_projector."},
        {"vision_tower.", "multi_modal_projector."},
        {"model.vision_tower.", "model.multi_modal_projector."},
    };
    char name[PPH_PARAMETER_NAME];
    for (size_t i = 0; i < PPH_COUNT(forms); i++) {
        snprintf(name, sizeof name, "%sembeddings.class_embedding", forms[i].tower);
        if (!pph_weights_find(weights, name))
            continue;
        snprintf(out->prefix, sizeof out->prefix, "%s", forms[i].tower);
        snprintf(out->layers, sizeof out->layers, "%sencoder.layers.", forms[i].tower);
        snprintf(out->projector, sizeof out->projector, "%s", forms[i].projector);
        out->patches = "embeddings.patch_embedding";
        out->first = "embeddings.class_embedding";
        out->positions = "embeddings.position_embedding";
        out->norm = "pre_layrnorm";
        out->linear1 = "linear_1";
        out->linear2 = "linear_2";
        out->encoder = *pph_clip_encoder_names();
        return PPH_OK;
    }
    return PPH_FAIL(err, PPH_NOT_FOUND,
                    "the weights have no picture tower ('vision_tower.…'): they are of another "
                    "model, or incomplete");
}

void pph_llava_names_gguf(pph_llava_names *out, bool swapped)
{
    *out = (pph_llava_names){.layers = "v.blk.",
                             .patches = "v.patch_embd",
                             .first = "v.class_embd",
                             .positions = "v.position_embd",
                             .norm = "v.pre_ln",
                             .linear1 = "mm.0",
                             .linear2 = "mm.2",
                             .encoder = {.norm1 = "ln1",
                                         .norm2 = "ln2",
                                         .qkv = {"attn_q", "attn_k", "attn_v"},
                                         .out = "attn_out",
                                         .up = {swapped ? "ffn_down" : "ffn_up"},
                                         .down = swapped ? "ffn_up" : "ffn_down",
                                         .attention_bias = true,
                                         .up_bias = true,
                                         .down_bias = true}};
}

pph_status pph_llava_recipe(pph_recipe *out, const char *folder, size_t side, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, "preprocessor_config.json");
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(folder));
    *out = pph_recipe_default_clip((uint32_t)side);
    if (pph_file_look(path) != PPH_FILE_MISSING)
        PPH_TRY(pph_recipe_load(out, path, err));
    uint32_t width, height;
    if (!pph_recipe_fixed_size(out, &width, &height) || width != side || height != side)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "preprocessor_config.json does not bring pictures to the %zu by %zu pixels "
                        "that config.json says",
                        side, side);
    return PPH_OK;
}
