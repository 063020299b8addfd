/* A small JPEG picture of a picture, for lists. Any thread. */
#ifndef PPH_IMAGE_THUMBNAIL_H
#define PPH_IMAGE_THUMBNAIL_H

#include "base/buffer.h"
#include "image/image.h"

/* Append a JPEG of the picture in a file's bytes, upright and opaque, its longer edge `edge` pixels at
 * most; a smaller one keeps its size. A JPEG is decoded no larger than that needs.
 * out     its limit is obeyed; on error what was appended is there no more
 * Errors  those of pph_image_decode; PPH_INVALID_ARGUMENT (an edge of 0), PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_thumbnail_make(pph_buffer *out, const void *bytes, size_t size,
                                          uint32_t edge, pph_error *err);

#endif
