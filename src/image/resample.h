/* Resizing, equal to Pillow's `Image.resize` on 8-bit RGB in every byte.
 *
 * Two passes, each a weighted sum in 22-bit fixed point whose result is rounded and clipped to 8
 * bits: across, then down; but down first when the height shrinks by more than twice as many pixels
 * as the width does, which is Pillow's order since its version 13 (until then always across first).
 * When shrinking, the filter is widened by the scale, so that every source pixel counts. A pass
 * whose edge keeps its length is skipped. Nearest takes one source pixel for each. */
#ifndef PPH_IMAGE_RESAMPLE_H
#define PPH_IMAGE_RESAMPLE_H

#include "image/image.h"

/* Pillow's numbers, which are also those of `resample` in preprocessor_config.json. */
typedef enum pph_filter {
    PPH_FILTER_NEAREST = 0,
    PPH_FILTER_LANCZOS = 1,  /* a = 3 */
    PPH_FILTER_BILINEAR = 2, /* triangle */
    PPH_FILTER_BICUBIC = 3,  /* Keys 1981 with a = -0.5 */
    PPH_FILTER_BOX = 4,
    PPH_FILTER_HAMMING = 5,
    PPH_FILTER_COUNT
} pph_filter;

/* A picture laid on a plain background, of which only the picture is stored. The picture must lie
 * wholly on it. Edges may be up to PPH_IMAGE_EDGE_MAX. */
typedef struct pph_canvas {
    const pph_image *image; /* borrowed */
    uint32_t left, top;     /* where its first pixel lies */
    uint32_t width, height;
    uint8_t background[3];
} pph_canvas;

/* The picture alone, without a border. */
pph_canvas pph_canvas_of(const pph_image *image);

/* What of the resized picture is wanted. */
typedef struct pph_region {
    uint32_t left, top, width, height;
} pph_region;

/* Resize a canvas to width x height and keep a region of the result. Only what the region needs is
 * computed; its bytes are those of the whole.
 * out            overwritten on success, untouched on error; free with pph_image_deinit
 * width, height  at least 1; they may be far larger than memory, as only the region is made
 * region         within width x height; its edges at most PPH_IMAGE_EDGE_MAX
 * Errors         PPH_INVALID_ARGUMENT, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY
 * Thread         any; runs on the caller's alone */
PPH_CHECKED pph_status pph_resample_region(pph_image *out, const pph_canvas *canvas, uint32_t width,
                                           uint32_t height, pph_region region, pph_filter filter,
                                           pph_error *err);

/* The whole of a picture, resized. */
PPH_CHECKED pph_status pph_resample(pph_image *out, const pph_image *image, uint32_t width,
                                    uint32_t height, pph_filter filter, pph_error *err);

#endif
