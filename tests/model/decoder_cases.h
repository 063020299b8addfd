/* The cases of tests/golden/model/decoder.json: their models, written on the spot as folders or as
 * GGUF files, their prompts, and what the reference gave for them. */
#ifndef PPH_TESTS_DECODER_CASES_H
#define PPH_TESTS_DECODER_CASES_H

#include "../weights/made_files.h"
#include "base/json.h"
#include "model/decoder.h"
#include "synthetic.h"

enum { DECODER_TENSORS = 64, DECODER_PROMPTS = 3, DECODER_IDS = 128, DECODER_GREEDY = 32 };

/* config      what config.json says
 * naming      how the names of tensors are spelled in the folder
 * space       that the seeds of their noise come from
 * context     to open with; 0: the model's own
 * tensors     those of the file, which tests may change before writing
 * logits      f32 [prompts,V], after each prompt
 * greedy      what follows the first prompt
 * vocabulary_in_gguf  GGUF files have a tokenizer, of tokens "t3", "t4", ..., and a chat template */
typedef struct decoder_case {
    char name[40], naming[40], space[48];
    const char *config;
    size_t shards, context, vocabulary;
    synthetic_tensor tensors[DECODER_TENSORS];
    size_t tensor_count;
    size_t lengths[DECODER_PROMPTS];
    int32_t prompts[DECODER_PROMPTS][DECODER_IDS], greedy[DECODER_GREEDY];
    float *logits;
    bool vocabulary_in_gguf;
} decoder_case;

/* All cases; assertions fail where the file is not as it should be. Free with decoder_cases_free. */
typedef struct decoder_cases {
    pph_json *golden;
    decoder_case *at;
    size_t count;
} decoder_cases;

decoder_cases decoder_cases_load(void);
void decoder_cases_free(decoder_cases *cases);
/* A copy of the case of this name, with its logits borrowed. */
decoder_case decoder_cases_copy(const decoder_cases *cases, const char *name);

/* Write config.json and the weights into a new folder; remove it with remove_folder. */
made_folder decoder_case_write(const decoder_case *c);

/* Write model.gguf (or model-0000i-of-0000n.gguf) into a new folder, as llama.cpp's converter lays a
 * model out.
 * stored  of the matrices: PPH_F32, PPH_F16, PPH_BF16, PPH_Q8_0 or PPH_Q4_0 (where the rows are whole
 *         blocks; else F16); norms and biases are F32
 * path    room for 160: the path of the file, or of its first part */
made_folder decoder_case_write_gguf(const decoder_case *c, pph_dtype stored, size_t parts,
                                    char path[160]);

/* The tensor of this name, or a failed assertion. */
synthetic_tensor *decoder_case_tensor(decoder_case *c, const char *name);
void decoder_case_drop(decoder_case *c, const char *name);

#endif
