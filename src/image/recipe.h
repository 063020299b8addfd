/* How a model wants its pictures: what `preprocessor_config.json` says, and doing it.
 *
 * The steps, in order: pad to a square, resize, centre crop, rescale, normalise, pad to a size.
 * Their meaning is that of transformers' image processors on Pillow (`CLIPImageProcessor`,
 * `LlavaImageProcessor`, `SiglipImageProcessor`, `ViTImageProcessor`); values left out of the file
 * are those processors' defaults, CLIP's where the file names none of them.
 *
 * A recipe is a plain value: copy it, share it between threads. */
#ifndef PPH_IMAGE_RECIPE_H
#define PPH_IMAGE_RECIPE_H

#include "image/resample.h"
#include <stdbool.h>

typedef enum pph_recipe_resize {
    PPH_RECIPE_KEEP,           /* do_resize is false */
    PPH_RECIPE_EXACT,          /* to height x width, whatever the proportions */
    PPH_RECIPE_SHORTEST_EDGE,  /* the shorter edge to `shortest`, proportions kept */
    PPH_RECIPE_SHORTEST_UP_TO, /* the same, but the longer edge stays within `longest` */
    PPH_RECIPE_LONGEST_EDGE,   /* the longer edge to `longest`, proportions kept */
    PPH_RECIPE_FIT,            /* as large as fits into height x width, proportions kept */
} pph_recipe_resize;

/* Edges are 1 to PPH_RECIPE_EDGE_MAX. */
#define PPH_RECIPE_EDGE_MAX 16384

typedef struct pph_recipe {
    bool pad_square;           /* first: centred on a square of background, before resizing */
    uint8_t pad_background[3]; /* int(image_mean * 255) */

    pph_recipe_resize resize;
    uint32_t shortest, longest, width, height; /* those that `resize` names */
    pph_filter filter;

    bool crop; /* centred; where the picture is smaller, a border of zeros (before rescaling) */
    uint32_t crop_width, crop_height;

    bool rescale;
    double rescale_factor;
    bool normalise;
    float mean[3], std[3];

    bool pad_size; /* last: zeros to the right and below, up to this size */
    uint32_t pad_width, pad_height;
} pph_recipe;

/* CLIP's own: RGB, shortest edge to `size` (bicubic), centre crop, 1/255, OpenAI's mean and
 * deviation. For folders without a preprocessor_config.json.
 * size  pixels, 1 to PPH_RECIPE_EDGE_MAX */
pph_recipe pph_recipe_default_clip(uint32_t size);

/* Read a recipe from JSON text.
 * name    for messages: the file's name
 * out     untouched on error
 * Errors  PPH_CORRUPT (no JSON object, a wrong type, a value out of range), PPH_UNSUPPORTED (a
 *         filter or a form of `size` that is not known), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_recipe_parse(pph_recipe *out, const void *json, size_t size,
                                        const char *name, pph_error *err);
/* The same from a file of at most 1 MiB. Errors also PPH_NOT_FOUND, PPH_IO, PPH_TOO_LARGE. */
PPH_CHECKED pph_status pph_recipe_load(pph_recipe *out, const char *path, pph_error *err);

/* The size that every picture comes out at. False when it depends on the picture. */
bool pph_recipe_fixed_size(const pph_recipe *recipe, uint32_t *width, uint32_t *height);

/* The size that a picture of the given size comes out at.
 * Errors  PPH_TOO_LARGE when an edge would be past PPH_RECIPE_EDGE_MAX, or padding to a size
 *         cannot hold it */
PPH_CHECKED pph_status pph_recipe_size(const pph_recipe *recipe, uint32_t picture_width,
                                       uint32_t picture_height, uint32_t *width, uint32_t *height,
                                       pph_error *err);

/* Picture to model input.
 * image   borrowed
 * out     f32 [3,Y,X] with the edges of pph_recipe_size, planar, normalised; caller's storage; its
 *         content is undefined on error
 * Errors  those of pph_recipe_size, PPH_OUT_OF_MEMORY
 * Thread  any; runs on the caller's alone
 * Source  equal to transformers' slow processors: the same roundings, step by step */
PPH_CHECKED pph_status pph_recipe_apply(const pph_recipe *recipe, const pph_image *image,
                                        float *out, pph_error *err);

/* The 8-bit picture that pph_recipe_apply makes floats of: after the crop, before rescaling.
 * out  overwritten on success; free with pph_image_deinit */
PPH_CHECKED pph_status pph_recipe_pixels(const pph_recipe *recipe, const pph_image *image,
                                         pph_image *out, pph_error *err);

#endif
