/* The cases of tests/golden/model/bert.json: their model folders, written on the spot, their input, and
 * what the reference gave for it. */
#ifndef PPH_TESTS_BERT_CASES_H
#define PPH_TESTS_BERT_CASES_H

#include "../weights/made_files.h"
#include "base/json.h"
#include "model/bert.h"
#include "synthetic.h"

enum { BERT_TENSORS = 160, BERT_IDS = 1024, BERT_TEXTS = 16 };

/* tensors           under their names in the file; those of a module begin with its folder
 * input             ids, lengths, seconds and skipped of all texts
 * vectors           f32 [texts,dimensions], borrowed from the cases */
typedef struct bert_case {
    char name[40], config[2000];
    const pph_json *files;
    synthetic_tensor tensors[BERT_TENSORS];
    size_t tensor_count;
    int32_t ids[BERT_IDS];
    size_t texts, lengths[BERT_TEXTS], seconds[BERT_TEXTS], skipped[BERT_TEXTS];
    size_t dimensions;
    float *vectors;
} bert_case;

/* All cases of bert.json, or of another file of that form; assertions fail where it is not as it should be.
 * Free with bert_cases_free. */
typedef struct bert_cases {
    pph_json *golden;
    bert_case *at;
    size_t count;
} bert_cases;

bert_cases bert_cases_load(void);
bert_cases bert_cases_load_file(const char *name, size_t least);
void bert_cases_free(bert_cases *cases);
/* A copy of the case of this name, with its vectors borrowed. */
bert_case bert_cases_copy(const bert_cases *cases, const char *name);

/* The texts as the model takes them; borrows from the case. */
pph_texts bert_case_texts(const bert_case *c);

/* Write config.json, the settings and the weights into a new folder; remove it with
 * bert_case_remove. */
made_folder bert_case_write(const bert_case *c);
void bert_case_remove(made_folder *folder);

/* Take a tensor, or all whose names begin so, out of the file. */
void bert_case_drop(bert_case *c, const char *start);

#endif
