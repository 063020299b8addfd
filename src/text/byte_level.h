/* GPT-2's way to write any bytes as visible characters: each of the 256 bytes has a character of its
 * own, printable ones themselves, the others from U+0100 on. Any thread.
 * Source  Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2 */
#ifndef PPH_TEXT_BYTE_LEVEL_H
#define PPH_TEXT_BYTE_LEVEL_H

#include "base/str.h"

/* The character that stands for a byte: U+0021 to U+0143. */
uint32_t pph_byte_level_point(uint8_t byte);

/* The byte that a character stands for, or -1. */
int pph_byte_level_byte(uint32_t point);

#endif
