/* A picture of an answer: from what was given of it to the rows that stand for it in the prompt.
 *
 *   given -> (fetched) -> named by its content -> prepared -> looked at
 *
 * One whose rows the model's cache has is not prepared; one that the KV cache has behind the same words is
 * not looked at. */
#ifndef PPH_POOL_PICTURE_H
#define PPH_POOL_PICTURE_H

#include "image/recipe.h"
#include "pool/picture_cache.h"
#include "pool/source.h"
#include <paraphym/future.h>
#include <paraphym/inputs.h>

/* answer   whose it is
 * kind     a data: address counts as BASE64
 * data     a copy of what was given, with a zero byte behind it; until it is prepared
 * fetch    a download, which was called_off or not; under the model's lock
 * content  names the bytes of its file, for this process alone
 * pixels   f32 [3,Y,X], from its being prepared to its being looked at
 * rows     a reference; NULL: not there yet
 * looked   for this answer */
typedef struct pph_picture {
    struct pph_answer *answer;
    pph_input_kind kind;
    char *data;
    size_t size;
    pph_future *fetch;
    bool called_off;
    pph_error error; /* of the download */
    uint8_t content[16];
    float *pixels;
    pph_picture_rows *rows;
    bool looked;
} pph_picture;

/* Copy what is given; it passed pph_request_check. Errors: PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_picture_init(pph_picture *out, const pph_input *input, pph_error *err);
void pph_picture_deinit(pph_picture *picture);
/* What it was made from is given back. */
void pph_picture_prepared(pph_picture *picture);

/* A picture file's bytes to a model's input, f32 [3,Y,X] on the heap.
 * recipe  brings every picture to the same size, of `floats` numbers
 * Errors  those of pph_image_decode and of pph_recipe_apply; PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_picture_pixels(const pph_recipe *recipe, pph_str bytes,
                                          size_t max_pixels, size_t floats, float **out,
                                          pph_error *err);

#endif
