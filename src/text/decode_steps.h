/* Tokens back to text, token by token: the steps that tokenizer.json calls a decoder, run as a stream.
 * Every step takes parts of text and the ends of tokens, and hands on what is certain. */
#ifndef PPH_TEXT_DECODE_STEPS_H
#define PPH_TEXT_DECODE_STEPS_H

#include "base/json.h"

/* Immutable, for any number of threads. */
typedef struct pph_decode_steps pph_decode_steps;

/* json    the "decoder" of tokenizer.json: null (tokens with spaces between), ByteLevel, WordPiece,
 *         Metaspace, ByteFallback, Fuse, Strip, Replace, BPEDecoder, or a Sequence; borrowed for the
 *         call
 * suffix  what ends a word in a model of bytes (CLIP's "</w>"), or empty: a space in the text, but
 *         none at its ends; borrowed for the call
 * Errors  PPH_UNSUPPORTED (another kind, which the sentence names), PPH_CORRUPT, PPH_TOO_LARGE,
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_decode_steps_new(pph_decode_steps **out, const pph_json *json,
                                            pph_str suffix, pph_error *err);
void pph_decode_steps_free(pph_decode_steps **steps);

/* Where one stream stands. One thread at a time. */
typedef struct pph_decode_flow pph_decode_flow;

/* steps  borrowed; they must outlive the flow. Errors: PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_decode_flow_new(pph_decode_flow **out, const pph_decode_steps *steps,
                                           pph_error *err);
void pph_decode_flow_free(pph_decode_flow **flow);

/* Append what a further token, as the vocabulary spells it, makes certain: whole characters of valid
 * UTF-8. After an error the flow is good for freeing only.
 * Errors  PPH_UNSUPPORTED (a regular expression gave up), PPH_OUT_OF_MEMORY, the limit of `out` */
PPH_CHECKED pph_status pph_decode_flow_push(pph_decode_flow *flow, pph_str token, pph_buffer *out,
                                            pph_error *err);

/* Append the rest. The flow then stands at its beginning again. */
PPH_CHECKED pph_status pph_decode_flow_finish(pph_decode_flow *flow, pph_buffer *out,
                                              pph_error *err);

#endif
