/* Writes a BERT folder of a real model's shape whose weights are noise: for measuring speed and memory
 * where the real weights are not at hand. f32, one safetensors file, mean pooling, no tokenizer: one
 * may be put beside it.
 *
 *   bert_synthetic minilm|base|large FOLDER */
#include "../tests/model/synthetic.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct shape {
    const char *name;
    size_t width, layers, heads;
} shape;

/* all-MiniLM-L6-v2, bge-base, bge-large. */
static const shape shapes[] = {
    {"minilm", 384, 6, 12}, {"base", 768, 12, 12}, {"large", 1024, 24, 16}};

enum { VOCABULARY = 30522, POSITIONS = 512, TYPES = 2, MOST = 512 };

typedef struct list {
    synthetic_tensor at[MOST];
    uint64_t seed[MOST];
    size_t count;
} list;

static list tensors;

__attribute__((format(printf, 5, 6))) static void add(double mean, double scale, size_t a, size_t b,
                                                      const char *format, ...)
{
    synthetic_tensor *t = &tensors.at[tensors.count++];
    *t = (synthetic_tensor){.dtype = "F32", .mean = mean, .scale = scale, .spike = 1};
    va_list more;
    va_start(more, format);
    vsnprintf(t->name, sizeof t->name, format, more);
    va_end(more);
    t->shape[t->rank++] = a;
    if (b)
        t->shape[t->rank++] = b;
}

static void add_norm(size_t width, const char *prefix, const char *name)
{
    add(1, 0.1, width, 0, "%s%s.weight", prefix, name);
    add(0, 0.1, width, 0, "%s%s.bias", prefix, name);
}

static void add_linear(size_t out, size_t in, const char *prefix, const char *name)
{
    add(0, 1 / sqrt((double)in), out, in, "%s%s.weight", prefix, name);
    add(0, 0.02, out, 0, "%s%s.bias", prefix, name);
}

static void add_layer(size_t width, size_t layer)
{
    static const char *const attention[] = {"self.query", "self.key", "self.value", "output.dense"};
    char prefix[80], name[40];
    snprintf(prefix, sizeof prefix, "encoder.layer.%zu.", layer);
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "attention.%s", attention[i]);
        add_linear(width, width, prefix, name);
    }
    add_norm(width, prefix, "attention.output.LayerNorm");
    add_linear(4 * width, width, prefix, "intermediate.dense");
    add_linear(width, 4 * width, prefix, "output.dense");
    add_norm(width, prefix, "output.LayerNorm");
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

static bool write_folder(const char *folder, const shape *s)
{
    add(0, 0.05, VOCABULARY, s->width, "embeddings.word_embeddings.weight");
    add(0, 0.05, POSITIONS, s->width, "embeddings.position_embeddings.weight");
    add(0, 0.05, TYPES, s->width, "embeddings.token_type_embeddings.weight");
    add_norm(s->width, "embeddings.", "LayerNorm");
    for (size_t l = 0; l < s->layers; l++)
        add_layer(s->width, l);
    char path[4096];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    for (size_t i = 0; i < tensors.count; i++)
        tensors.seed[i] = synthetic_seed(s->name, tensors.at[i].name);
    return synthetic_write(path, tensors.at, tensors.seed, tensors.count) &&
           write_text(
               folder, "config.json",
               "{\"model_type\": \"bert\", \"hidden_size\": %zu, \"num_hidden_layers\": %zu,\n"
               " \"num_attention_heads\": %zu, \"intermediate_size\": %zu, \"vocab_size\": %d,\n"
               " \"max_position_embeddings\": %d, \"type_vocab_size\": %d, \"hidden_act\": "
               "\"gelu\", \"layer_norm_eps\": 1e-12}\n",
               s->width, s->layers, s->heads, 4 * s->width, VOCABULARY, POSITIONS, TYPES);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof shapes / sizeof *shapes; i++) {
        if (strcmp(argv[1], shapes[i].name))
            continue;
        if (mkdir(argv[2], 0777) && errno != EEXIST) {
            perror(argv[2]);
            return 1;
        }
        if (write_folder(argv[2], &shapes[i]))
            return 0;
        perror(argv[2]);
        return 1;
    }
    fprintf(stderr, "usage: %s minilm|base|large FOLDER\n", argv[0]);
    return 2;
}
