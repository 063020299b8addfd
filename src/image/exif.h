/* The one thing that a decoder needs of EXIF: which way up. */
#ifndef PPH_IMAGE_EXIF_H
#define PPH_IMAGE_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* The orientation of an EXIF block: a TIFF structure, with or without "Exif\0\0" before it.
 * Returns 1 to 8; 1 (upright) when the block does not say, is damaged, or says another number.
 * bytes   any bytes at all; may be NULL when size is 0
 * Source  CIPA DC-008 (Exif 2.3), tag 0x0112; TIFF 6.0, section 2 */
int pph_exif_orientation(const uint8_t *bytes, size_t size);

#endif
