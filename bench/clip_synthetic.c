/* Writes a CLIP folder of a real model's shape whose weights are noise: for measuring speed and
 * memory where the real weights are not at hand. f16, one safetensors file, no tokenizer.
 *
 *   clip_synthetic b32|b16|l14|l14-336 FOLDER [--vision-only] */
#include "../tests/model/synthetic.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct shape {
    const char *name;
    int image, patch;
    size_t width, layers, heads;
    size_t text_width, text_layers, text_heads, projection;
} shape;

static const shape shapes[] = {
    {"b32", 224, 32, 768, 12, 12, 512, 12, 8, 512},
    {"b16", 224, 16, 768, 12, 12, 512, 12, 8, 512},
    {"l14", 224, 14, 1024, 24, 16, 768, 12, 12, 768},
    {"l14-336", 336, 14, 1024, 24, 16, 768, 12, 12, 768},
};

enum { VOCABULARY = 49408, POSITIONS = 77, MOST = 1024 };

typedef struct list {
    synthetic_tensor at[MOST];
    uint64_t seed[MOST];
    size_t count;
} list;

static list tensors;

__attribute__((format(printf, 6, 7))) static void add(double mean, double scale, size_t a, size_t b,
                                                      size_t patch, const char *format, ...)
{
    synthetic_tensor *t = &tensors.at[tensors.count++];
    *t = (synthetic_tensor){.dtype = "F16", .mean = mean, .scale = scale, .spike = 1};
    va_list more;
    va_start(more, format);
    vsnprintf(t->name, sizeof t->name, format, more);
    va_end(more);
    t->shape[t->rank++] = a;
    if (b)
        t->shape[t->rank++] = b;
    for (int i = 0; patch && i < 2; i++)
        t->shape[t->rank++] = patch;
}

static void add_norm(size_t width, const char *prefix, const char *name)
{
    add(1, 0.1, width, 0, 0, "%s%s.weight", prefix, name);
    add(0, 0.1, width, 0, 0, "%s%s.bias", prefix, name);
}

static void add_linear(size_t out, size_t in, const char *prefix, const char *name)
{
    add(0, 1 / sqrt((double)in), out, in, 0, "%s%s.weight", prefix, name);
    add(0, 0.02, out, 0, 0, "%s%s.bias", prefix, name);
}

static void add_layers(size_t width, size_t layers, const char *tower)
{
    static const char *const attention[] = {"q", "k", "v", "out"};
    for (size_t l = 0; l < layers; l++) {
        char prefix[80], name[40];
        snprintf(prefix, sizeof prefix, "%s.encoder.layers.%zu.", tower, l);
        add_norm(width, prefix, "layer_norm1");
        for (size_t i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "self_attn.%s_proj", attention[i]);
            add_linear(width, width, prefix, name);
        }
        add_norm(width, prefix, "layer_norm2");
        add_linear(4 * width, width, prefix, "mlp.fc1");
        add_linear(width, 4 * width, prefix, "mlp.fc2");
    }
}

static bool write_text(const char *folder, const char *name, const char *format, ...)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    va_list more;
    va_start(more, format);
    bool fine = vfprintf(file, format, more) > 0;
    va_end(more);
    return fclose(file) == 0 && fine;
}

static bool write_config(const char *folder, const shape *s, bool vision_only)
{
    char vision[400], text[400];
    snprintf(vision, sizeof vision,
             "\"hidden_size\": %zu, \"intermediate_size\": %zu, \"num_hidden_layers\": %zu,"
             " \"num_attention_heads\": %zu, \"image_size\": %d, \"patch_size\": %d,"
             " \"hidden_act\": \"quick_gelu\", \"layer_norm_eps\": 1e-05, \"projection_dim\": %zu",
             s->width, 4 * s->width, s->layers, s->heads, s->image, s->patch, s->projection);
    snprintf(text, sizeof text,
             "\"hidden_size\": %zu, \"intermediate_size\": %zu, \"num_hidden_layers\": %zu,"
             " \"num_attention_heads\": %zu, \"vocab_size\": %d, \"max_position_embeddings\": %d,"
             " \"eos_token_id\": 2, \"projection_dim\": %zu",
             s->text_width, 4 * s->text_width, s->text_layers, s->text_heads, VOCABULARY, POSITIONS,
             s->projection);
    if (vision_only)
        return write_text(folder, "config.json", "{\"model_type\": \"clip_vision_model\", %s}\n",
                          vision);
    return write_text(folder, "config.json",
                      "{\"model_type\": \"clip\", \"projection_dim\": %zu,\n"
                      " \"vision_config\": {%s},\n \"text_config\": {%s}}\n",
                      s->projection, vision, text);
}

static bool write_folder(const char *folder, const shape *s, bool vision_only)
{
    size_t side = (size_t)(s->image / s->patch);
    const char *v = "vision_model.embeddings";
    if (!vision_only)
        add(4.6, 0, 1, 0, 0, "logit_scale");
    if (!vision_only)
        tensors.at[0].rank = 0;
    add(0, 0.02, s->width, 0, 0, "%s.class_embedding", v);
    add(0, 0.02, s->width, 3, (size_t)s->patch, "%s.patch_embedding.weight", v);
    add(0, 0.02, side * side + 1, s->width, 0, "%s.position_embedding.weight", v);
    add_norm(s->width, "vision_model.", "pre_layrnorm");
    add_layers(s->width, s->layers, "vision_model");
    add_norm(s->width, "vision_model.", "post_layernorm");
    add(0, 0.03, s->projection, s->width, 0, "visual_projection.weight");
    if (!vision_only) {
        const char *t = "text_model.embeddings";
        add(0, 0.02, VOCABULARY, s->text_width, 0, "%s.token_embedding.weight", t);
        add(0, 0.02, POSITIONS, s->text_width, 0, "%s.position_embedding.weight", t);
        add_layers(s->text_width, s->text_layers, "text_model");
        add_norm(s->text_width, "text_model.", "final_layer_norm");
        add(0, 0.03, s->projection, s->text_width, 0, "text_projection.weight");
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    for (size_t i = 0; i < tensors.count; i++)
        tensors.seed[i] = synthetic_seed(s->name, tensors.at[i].name);
    return synthetic_write(path, tensors.at, tensors.seed, tensors.count) &&
           write_config(folder, s, vision_only) &&
           write_text(folder, "preprocessor_config.json",
                      "{\"do_resize\": true, \"size\": {\"shortest_edge\": %d}, \"resample\": 3,\n"
                      " \"do_center_crop\": true, \"crop_size\": {\"height\": %d, \"width\": %d},\n"
                      " \"do_normalize\": true, \"do_convert_rgb\": true,\n"
                      " \"image_mean\": [0.48145466, 0.4578275, 0.40821073],\n"
                      " \"image_std\": [0.26862954, 0.26130258, 0.27577711]}\n",
                      s->image, s->image, s->image);
}

int main(int argc, char **argv)
{
    bool vision_only = argc == 4 && !strcmp(argv[3], "--vision-only");
    for (size_t i = 0; (argc == 3 || vision_only) && i < sizeof shapes / sizeof *shapes; i++) {
        if (strcmp(argv[1], shapes[i].name))
            continue;
        if (mkdir(argv[2], 0777) && errno != EEXIST) {
            perror(argv[2]);
            return 1;
        }
        if (write_folder(argv[2], &shapes[i], vision_only))
            return 0;
        perror(argv[2]);
        return 1;
    }
    fprintf(stderr, "usage: %s b32|b16|l14|l14-336 FOLDER [--vision-only]\n", argv[0]);
    return 2;
}
