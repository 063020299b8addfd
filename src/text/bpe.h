/* Byte-pair encoding: a piece of text becomes tokens by merging neighbours, the merge that was learnt
 * first first.
 * Source  Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units" */
#ifndef PPH_TEXT_BPE_H
#define PPH_TEXT_BPE_H

#include "text/tokens.h"
#include "text/vocabulary.h"

/* What is given when a model is made; all texts are borrowed for the call only.
 * prefix         put before every symbol of a piece but its first (continuing_subword_prefix)
 * suffix         put after the last symbol of a piece (end_of_word_suffix: CLIP's "</w>")
 * unknown        the token for symbols that the vocabulary lacks; empty: they vanish
 * byte_level     symbols are bytes, written in the alphabet of byte_level.h; else characters
 * byte_fallback  a character that the vocabulary lacks becomes the tokens of its bytes ("<0x0A>"),
 *                where those are all there
 * fuse_unknown   neighbouring unknown symbols become one token
 * ignore_merges  a piece that is a token as it stands is that token */
typedef struct pph_bpe_options {
    pph_str prefix, suffix, unknown;
    bool byte_level, byte_fallback, fuse_unknown, ignore_merges;
} pph_bpe_options;

/* Immutable once all merges are in, and then for any number of threads. */
typedef struct pph_bpe pph_bpe;

/* vocabulary  borrowed; it must outlive the model and hold all tokens already
 * merges      how many will be added; room is made for them
 * Errors      PPH_CORRUPT (`unknown` is no token), PPH_TOO_LARGE (prefix or suffix past 64 bytes),
 *             PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_bpe_new(pph_bpe **out, const pph_vocabulary *vocabulary,
                                   const pph_bpe_options *options, size_t merges, pph_error *err);
void pph_bpe_free(pph_bpe **bpe);

/* Add the next merge; ranks count up from 0. The same pair again takes the later rank.
 * Errors  PPH_CORRUPT when a part or the whole is no token, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_bpe_add_merge(pph_bpe *bpe, pph_str left, pph_str right, pph_error *err);

/* Whether a piece may be given part by part, where no token reaches over the cuts: nothing hangs on a
 * piece's ends, and no piece is looked up whole. */
bool pph_bpe_by_parts(const pph_bpe *bpe);

/* Room that encoding needs; starts as {0}, grows, and is reused. One thread at a time. */
typedef struct pph_bpe_scratch {
    struct pph_bpe_symbol *symbols;
    struct pph_bpe_candidate *heap;
    size_t symbol_room, heap_room;
    pph_buffer text;
} pph_bpe_scratch;

void pph_bpe_scratch_deinit(pph_bpe_scratch *scratch);

/* Append the tokens of one piece; time is piece.size * log(piece.size) at most.
 * piece   valid UTF-8, less than 1 GiB
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_bpe_encode(const pph_bpe *bpe, pph_bpe_scratch *scratch, pph_str piece,
                                      pph_tokens *out, pph_error *err);

#endif
