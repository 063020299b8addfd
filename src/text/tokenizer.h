/* Text to token ids and back, as the model's own tokenizer does it. */
#ifndef PPH_TEXT_TOKENIZER_H
#define PPH_TEXT_TOKENIZER_H

#include "base/str.h"
#include "text/tokens.h"

/* Texts of more bytes than this are refused. */
#define PPH_TOKENIZER_TEXT_LIMIT ((size_t)16 << 20)

/* Immutable once open, and then for any number of threads. */
typedef struct pph_tokenizer pph_tokenizer;

/* path    a model folder, with tokenizer.json, or (for a CLIP) vocab.json and merges.txt, or
 *         SentencePiece's tokenizer.model or spiece.model, or BERT's vocab.txt; or such a file itself
 *         but for CLIP's. tokenizer_config.json and special_tokens_map.json beside it are read where
 *         they are.
 * Errors  PPH_NOT_FOUND (no tokenizer there), PPH_UNSUPPORTED (a kind of tokenizer or of a step,
 *         which the sentence names, that is not known), PPH_CORRUPT, PPH_TOO_LARGE, PPH_IO,
 *         PPH_OUT_OF_MEMORY
 * Source  the file format of Hugging Face tokenizers, which is the authority on every step */
PPH_CHECKED pph_status pph_tokenizer_open(pph_tokenizer **out, const char *path, pph_error *err);

/* The same from the bytes of a tokenizer.json; `name` is for messages. */
PPH_CHECKED pph_status pph_tokenizer_parse(pph_tokenizer **out, const char *name, const void *bytes,
                                           size_t size, pph_error *err);

/* Accepts NULL; clears *tokenizer. */
void pph_tokenizer_close(pph_tokenizer **tokenizer);

/* What is cut of two texts that are too long together: of the longer one until both are as long, then
 * of both; of the first alone; of the second alone. */
typedef enum pph_truncation {
    PPH_TRUNCATE_LONGEST,
    PPH_TRUNCATE_FIRST,
    PPH_TRUNCATE_SECOND
} pph_truncation;

/* bare           without the tokens that the model wants around a text (start, end)
 * parse_special  special tokens that are spelled out in the text count as such; else they are text
 *                like any other, so that a text cannot forge the marks of a prompt
 * limit          at most so many tokens, those around the text included; 0: any number
 * truncate       a text that is too long is cut at its end, the tokens around it staying; else it is
 *                an error
 * left           it is cut at its beginning instead
 * strategy       which of two texts is cut */
typedef struct pph_tokenizer_options {
    bool bare, parse_special, truncate, left;
    size_t limit;
    pph_truncation strategy;
} pph_tokenizer_options;

/* All of it off. */
pph_tokenizer_options pph_tokenizer_defaults(void);

/* text     UTF-8; may be empty, which gives the tokens around it alone
 * options  NULL: the defaults
 * out      starts as {0}; replaced, its room reused; contents undefined on error
 * Errors   PPH_INVALID_ARGUMENT (not UTF-8, with the offset; a limit below the tokens around the
 *          text), PPH_TOO_LARGE (past the limit, by how much), PPH_UNSUPPORTED (the tokenizer's
 *          regular expression gave up; a character that its model cannot express),
 *          PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_tokenizer_encode(const pph_tokenizer *tokenizer, pph_str text,
                                            const pph_tokenizer_options *options, pph_tokens *out,
                                            pph_error *err);

/* Where special tokens that are spelled out count: bytes [begin, end) of a text. */
typedef struct pph_tokenizer_range {
    size_t begin, end;
} pph_tokenizer_range;

/* A text that is made of what may mark structure and what may not: special tokens count where they lie in
 * one of the ranges, and are text like any other elsewhere. In all else it is one text. Nothing is put
 * around it.
 * ranges     [count], in order
 * continues  it is not the beginning: a space that would be put before a text is not
 * out        appended to
 * Errors     as above */
PPH_CHECKED pph_status pph_tokenizer_encode_marked(const pph_tokenizer *tokenizer, pph_str text,
                                                   const pph_tokenizer_range *ranges, size_t count,
                                                   bool continues, pph_tokens *out, pph_error *err);

/* Two texts as one input, as sentence-pair models want it.
 * types  as many as ids: which of the two a token belongs to, as the model counts
 *        (token_type_ids) */
typedef struct pph_encoding {
    pph_tokens ids, types;
} pph_encoding;

void pph_encoding_deinit(pph_encoding *encoding);

/* first, second, options, Errors  as above; PPH_TOO_LARGE also where the one text that may be cut is
 *                                 too short for it; PPH_UNSUPPORTED for a template without pairs
 * out                             starts as {0}; replaced, its room reused */
PPH_CHECKED pph_status pph_tokenizer_encode_pair(const pph_tokenizer *tokenizer, pph_str first,
                                                 pph_str second,
                                                 const pph_tokenizer_options *options,
                                                 pph_encoding *out, pph_error *err);

/* Append the text of `count` ids, as UTF-8; bytes that make no character become U+FFFD.
 * skip_special  leave special tokens out
 * Errors        PPH_INVALID_ARGUMENT (an id that is no token), those of the buffer */
PPH_CHECKED pph_status pph_tokenizer_decode(const pph_tokenizer *tokenizer, const int32_t *ids,
                                            size_t count, bool skip_special, pph_buffer *out,
                                            pph_error *err);

/* A token as the vocabulary spells it ("cat</w>"); an empty view when no token has the id. Borrowed
 * from the tokenizer. */
pph_str pph_tokenizer_token(const pph_tokenizer *tokenizer, int64_t id);

/* The id of a token as the vocabulary spells it, or -1. */
int32_t pph_tokenizer_find(const pph_tokenizer *tokenizer, pph_str token);

/* One more than the highest id. */
size_t pph_tokenizer_size(const pph_tokenizer *tokenizer);

/* The tokens before and after a text, and the one to fill up with; -1 when there is none. */
int32_t pph_tokenizer_start(const pph_tokenizer *tokenizer);
int32_t pph_tokenizer_end(const pph_tokenizer *tokenizer);
int32_t pph_tokenizer_pad(const pph_tokenizer *tokenizer);

/* Whether the token is a mark of structure, not text. */
bool pph_tokenizer_is_special(const pph_tokenizer *tokenizer, int32_t id);

/* model_max_length of tokenizer_config.json; 0 when it sets no bound. */
size_t pph_tokenizer_limit(const pph_tokenizer *tokenizer);

/* "truncation" and "padding" of tokenizer.json, which nothing here follows by itself.
 * truncates   whether it asks for it: to `limit` tokens, by `strategy`, at the beginning if `left`
 * pads        whether it asks for it: with `pad`, of type `pad_type`, to `length` tokens (0: to the
 *             longest of a batch), rounded up to `multiple` (0: not), at the beginning if `pad_left` */
typedef struct pph_tokenizer_settings {
    bool truncates, left, pads, pad_left;
    pph_truncation strategy;
    size_t limit, length, multiple;
    int32_t pad, pad_type;
} pph_tokenizer_settings;

const pph_tokenizer_settings *pph_tokenizer_wants(const pph_tokenizer *tokenizer);

#endif
