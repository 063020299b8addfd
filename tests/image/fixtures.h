/* What the tests of this room share: made-up pictures, golden files, checksums. */
#ifndef PPH_TESTS_IMAGE_FIXTURES_H
#define PPH_TESTS_IMAGE_FIXTURES_H

#include "base/buffer.h"
#include "image/image.h"

/* The picture that tests/golden/image/make_resample.py makes from the same seed. Fails the test
 * when there is no memory. */
pph_image fixture_picture(uint32_t width, uint32_t height, uint32_t seed);

/* CRC-32 as zlib has it. */
uint32_t fixture_crc(const void *bytes, size_t size);
uint32_t fixture_image_crc(const pph_image *image);

/* A file of tests/golden/image/, whole. Fails the test when it cannot be read. */
pph_buffer fixture_file(const char *name);

#endif
