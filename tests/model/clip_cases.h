/* The cases of tests/golden/model/clip.json: their model folders, written on the spot, their input,
 * and what the reference gave for it. */
#ifndef PPH_TESTS_CLIP_CASES_H
#define PPH_TESTS_CLIP_CASES_H

#include "../weights/made_files.h"
#include "base/json.h"
#include "model/clip.h"
#include "synthetic.h"

enum { CASE_TENSORS = 200, CASE_IDS = 256 };

/* config            what config.json says
 * tensors           those of the file, less the prefix, which tests may change before writing
 * dimensions        P;  images, texts  how many
 * ids, lengths      of all texts
 * image_vectors, text_vectors  f32 [images,P] and [texts,P], or NULL */
typedef struct clip_case {
    char name[40], prefix[20];
    const char *config;
    size_t shards;
    synthetic_tensor tensors[CASE_TENSORS];
    size_t tensor_count;
    size_t dimensions, images, texts, lengths[16];
    int32_t ids[CASE_IDS];
    float *image_vectors, *text_vectors;
} clip_case;

/* All cases; assertions fail where the file is not as it should be. Free with clip_cases_free. */
typedef struct clip_cases {
    pph_json *golden;
    clip_case *at;
    size_t count;
} clip_cases;

clip_cases clip_cases_load(void);
void clip_cases_free(clip_cases *cases);
/* A copy of the case of this name, with its vectors borrowed. */
clip_case clip_cases_copy(const clip_cases *cases, const char *name);

/* Write config.json and the weights into a new folder; remove it with remove_folder. */
made_folder clip_case_write(const clip_case *c);

/* Y. */
size_t clip_case_side(const clip_case *c);
/* f32 [images,3,Y,Y]; free with pph_free. */
float *clip_case_pixels(const clip_case *c);

/* The tensor of this name, or a failed assertion. */
synthetic_tensor *clip_case_tensor(clip_case *c, const char *name);
/* Take a tensor, or all whose names begin so, out of the file. */
void clip_case_drop(clip_case *c, const char *start);

#endif
