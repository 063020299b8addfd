/* What a folder of sentence-transformers says of what happens around the encoder: how long texts may
 * be, prompts by task, and the way from rows to one vector.
 *
 *   modules.json                        Transformer, Pooling, then any of Dense and Normalize
 *   sentence_bert_config.json           max_seq_length, do_lower_case
 *   1_Pooling/config.json               which poolings, and whether prompts are pooled
 *   2_Dense/config.json                 a layer after pooling; its weights stand beside it
 *   config_sentence_transformers.json   prompts by name, and which one is meant without a name
 *
 * Source: the documentation of sentence-transformers ("Creating Custom Models"), its published model
 * folders */
#ifndef PPH_WEIGHTS_SENTENCE_H
#define PPH_WEIGHTS_SENTENCE_H

#include "base/str.h"
#include "compute/kernels_tensor.h"

/* Ways to pool, as bits; several give their vectors behind each other, in this order. */
enum {
    PPH_POOL_FIRST = 1, /* "cls" */
    PPH_POOL_MAX = 2,
    PPH_POOL_MEAN = 4,
    PPH_POOL_MEAN_SQRT = 8, /* the sum over the root of the number of rows */
    PPH_POOL_WEIGHTED = 16, /* a mean that weighs row i by i + 1 */
    PPH_POOL_LAST = 32,
    PPH_POOLINGS = 6,
};

typedef enum pph_sentence_activation {
    PPH_SENTENCE_IDENTITY,
    PPH_SENTENCE_TANH,
    PPH_SENTENCE_SIGMOID,
    PPH_SENTENCE_RELU,
    PPH_SENTENCE_GELU,
    PPH_SENTENCE_SILU,
} pph_sentence_activation;

/* A step behind pooling: to unit length, or a layer.
 * folder           of the layer's weights, within the model's: "2_Dense"
 * inputs, outputs  1..65536 */
typedef struct pph_sentence_step {
    bool normalize, bias;
    char folder[64];
    int inputs, outputs;
    pph_sentence_activation activation;
} pph_sentence_step;

enum { PPH_SENTENCE_STEPS = 8, PPH_SENTENCE_PROMPTS = 256 };

typedef struct pph_sentence_prompt {
    char *name, *text;
} pph_sentence_prompt;

/* found         the folder has a modules.json; without one texts are pooled by their mean, as servers of
 *               plain transformers folders do
 * poolings      bits from above
 * skip_prompt   the tokens of the prompt are not pooled
 * lower_case    texts are lower-cased before they are tokenized
 * max_tokens    of a text; 0: whatever model and tokenizer allow
 * chosen        the prompt that is put before a text when no task is named; -1: none */
typedef struct pph_sentence {
    bool found, skip_prompt, lower_case;
    unsigned poolings;
    size_t max_tokens;
    pph_sentence_step steps[PPH_SENTENCE_STEPS];
    size_t step_count;
    pph_sentence_prompt *prompts;
    size_t prompt_count;
    int chosen;
} pph_sentence;

/* Read what stands in `folder`. A folder without any of the files is as described above.
 * out     free with pph_sentence_free; untouched on error
 * Errors  PPH_UNSUPPORTED (a module or an activation that is not computed), PPH_CORRUPT, PPH_NOT_FOUND
 *         (a module's configuration), PPH_TOO_LARGE, PPH_IO, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_sentence_read(pph_sentence **out, const char *folder, pph_error *err);
/* Accepts NULL. */
void pph_sentence_free(pph_sentence **sentence);

/* The prompt of a task, to be put before a text; an empty view when there is none.
 * task    NULL: what is chosen without one. "query" and "document" are always known: where the folder
 *         names no such prompt ("document" may be called "passage" or "corpus"), there is none
 * Errors  PPH_INVALID_ARGUMENT: another name that the folder does not have; the sentence lists those
 *         that it has */
PPH_CHECKED pph_status pph_sentence_find(const pph_sentence *sentence, const char *task,
                                         pph_str *prompt, pph_error *err);

/* The parts, from bytes; `name` is for messages. */
typedef enum pph_sentence_file {
    PPH_SENTENCE_TEXT,    /* sentence_bert_config.json */
    PPH_SENTENCE_POOLING, /* 1_Pooling/config.json */
    PPH_SENTENCE_DENSE,   /* 2_Dense/config.json: of the last step */
    PPH_SENTENCE_CONFIG,  /* config_sentence_transformers.json */
    PPH_SENTENCE_FILES
} pph_sentence_file;
PPH_CHECKED pph_status pph_sentence_parse(pph_sentence *sentence, pph_sentence_file file,
                                          const char *name, const void *bytes, size_t size,
                                          pph_error *err);

/* modules.json alone. pooling  the folder of the pooling's configuration, "" when it names none */
typedef struct pph_sentence_modules {
    char pooling[64];
} pph_sentence_modules;
PPH_CHECKED pph_status pph_sentence_parse_modules(pph_sentence *sentence,
                                                  pph_sentence_modules *modules, const char *name,
                                                  const void *bytes, size_t size, pph_error *err);

/* An empty one, for the parsers. Errors: PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_sentence_new(pph_sentence **out, pph_error *err);

#endif
