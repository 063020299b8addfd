/* A tokenizer from plain tables, as GGUF files and SentencePiece's own models hold them. */
#ifndef PPH_TEXT_TOKENIZER_TABLES_H
#define PPH_TEXT_TOKENIZER_TABLES_H

#include "text/tokenizer.h"

/* Which algorithm the tables are for: byte-level BPE by merges ("gpt2" in GGUF), SentencePiece's BPE
 * by scores ("llama"), unigram ("t5"), WordPiece ("bert"). */
typedef enum pph_tables_model {
    PPH_TABLES_BPE,
    PPH_TABLES_SCORE_BPE,
    PPH_TABLES_UNIGRAM,
    PPH_TABLES_WORDPIECE
} pph_tables_model;

/* What a token is; the numbers are those of GGUF and of SentencePiece. */
typedef enum pph_token_kind {
    PPH_TOKEN_NORMAL = 1,
    PPH_TOKEN_UNKNOWN,
    PPH_TOKEN_CONTROL, /* a mark of structure: a special token */
    PPH_TOKEN_USER,    /* found in every text */
    PPH_TOKEN_UNUSED,
    PPH_TOKEN_BYTE
} pph_token_kind;

/* All borrowed for the call.
 * tokens     `count` texts by id, UTF-8; an empty one is no token
 * scores     as many, or NULL: all 0
 * kinds      as many pph_token_kind, or NULL: all normal
 * merges     of BPE: `merge_count` of "a b"; those whose parts are no tokens are passed over
 * pre        of BPE: the name of a preset (see bpe_presets.h)
 * charsmap   of unigram: SentencePiece's compiled table, or empty
 * adds_start, adds_end  the start and end tokens go around a text. WordPiece: class and separator
 * adds_prefix           a space goes before a text
 * removes_spaces        of unigram: no spaces at the ends, and one between
 * lower                 of WordPiece: small letters, no accents
 * marked                of WordPiece: as GGUF writes them, U+2581 before what begins a word and nothing
 *                       before what goes on, instead of "##" before the latter
 * right                 special tokens take the white space behind them
 * start, end, unknown, separator, pad  ids, or -1 */
typedef struct pph_tokenizer_tables {
    pph_tables_model model;
    const pph_str *tokens;
    const float *scores;
    const uint8_t *kinds;
    size_t count;
    const pph_str *merges;
    size_t merge_count;
    pph_str pre, charsmap;
    bool adds_start, adds_end, adds_prefix, removes_spaces, lower, marked, right;
    int32_t start, end, unknown, separator, pad;
} pph_tokenizer_tables;

/* Whether models of the preset begin texts with the start token where nothing else is said. */
bool pph_tokenizer_starts(pph_str pre);

/* Errors  PPH_UNSUPPORTED (a preset that is not known, which the sentence names), PPH_CORRUPT,
 *         PPH_TOO_LARGE, PPH_OUT_OF_MEMORY; the sentence does not name a file */
PPH_CHECKED pph_status pph_tokenizer_make(pph_tokenizer **out, const pph_tokenizer_tables *tables,
                                          pph_error *err);

#endif
