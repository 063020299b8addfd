/* What one model is and can do, from its files' headers alone: nothing of its weights is read. */
#ifndef PPH_POOL_CARD_H
#define PPH_POOL_CARD_H

#include "base/error.h"
#include <paraphym/precision.h>
#include <stdbool.h>
#include <stdint.h>

/* What a model can do, as bits. VISION is answering about pictures, GENERATION is writing text. */
enum {
    PPH_CARD_IMAGES = 1, /* picture embedding */
    PPH_CARD_TEXTS = 2,  /* text embedding */
    PPH_CARD_VISION = 4,
    PPH_CARD_GENERATION = 8,
    PPH_CARD_RERANK = 16,      /* judging documents by a query */
    PPH_CARD_CAPABILITIES = 5, /* how many bits there are */
};

/* Tensors of one type: "F16", "Q4_K"; "other" for those past PPH_CARD_TYPES. */
typedef struct pph_card_type {
    char name[16];
    size_t tensors;
    uint64_t bytes;
} pph_card_type;

#define PPH_CARD_TYPES 8

/* name          as asked;  path  the folder, or the .gguf file, with links of a hub cache resolved
 * architecture  "clip"; else config.json's model_type or the GGUF's general.architecture, control
 *               characters replaced; empty when the files do not say
 * supported     this version runs it
 * reason        why not; where it does run, what it lacks; empty when it lacks nothing
 * capabilities  of the architecture, less what these files lack
 * dimensions    of the vectors; of a model that only writes, its width; of one that ranks, its labels
 * context       the most tokens of a text;  image_side  pixels. 0: not told, or without
 * parameters    numbers in the weights, buffers of integers left out
 * file_bytes    of all tensors as stored
 * needs         bytes of memory once loaded, at F32, BF16 and INT8; [AUTO] is what AUTO takes on
 *               this processor. The rule stands in card_needs.h
 * quantised     the same of a model that is quantised while it is loaded, at other precisions than F32
 * types         by bytes, the most first */
typedef struct pph_card {
    char *name, *path;
    char architecture[64];
    bool supported;
    char reason[384];
    unsigned capabilities;
    size_t dimensions, context, image_side;
    uint64_t parameters, file_bytes, needs[PPH_PRECISION_COUNT];
    uint64_t quantised[PPH_QUANTIZE_COUNT];
    pph_card_type types[PPH_CARD_TYPES];
    size_t type_count;
} pph_card;

/* Describe what stands at `path`: a folder with config.json, an entry of the hub's cache, a .gguf
 * file, or a folder with one of those. A model that is there but does not run is described, with
 * its reason; so are one whose weights are missing or damaged.
 * name    as it was asked for; copied
 * out     free with pph_card_free; untouched on error
 * Errors  PPH_NOT_FOUND (nothing there, neither config.json nor GGUF), PPH_INVALID_ARGUMENT (several
 *         GGUF files), PPH_CORRUPT, PPH_IO, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_card_read(pph_card **out, const char *name, const char *path,
                                     pph_error *err);
/* Accepts NULL. */
void pph_card_free(pph_card **card);

/* "image-embedding", "text-embedding", "vision", "generation", "rerank"; "" for what is none of the bits. */
const char *pph_card_capability(unsigned bit);

#endif
