/* How the byte-level BPE families cut text, by the names that GGUF files give them
 * ("tokenizer.ggml.pre"); a tokenizer.json carries the same as its pre-tokenizer.
 * Source  the families' own tokenizer.json files */
#ifndef PPH_TEXT_BPE_PRESETS_H
#define PPH_TEXT_BPE_PRESETS_H

#include "base/str.h"

#define PPH_PRESET_PATTERNS 8

/* patterns        cut one after the other, what matches and what lies between being pieces; up to the
 *                 first NULL
 * composes        text is brought to form C first
 * ignores_merges  a piece that is a token as it stands is that token
 * adds_start      the start token goes before a text where the file does not say */
typedef struct pph_bpe_preset {
    const char *patterns[PPH_PRESET_PATTERNS];
    bool composes, ignores_merges, adds_start;
} pph_bpe_preset;

/* The preset of a name, or NULL; an empty name is "default". */
const pph_bpe_preset *pph_bpe_preset_find(pph_str name);

/* A name of each preset, by which all readers of GGUF know it; NULL past the last. */
const char *pph_bpe_preset_name(size_t index);

#endif
