/* Text that a language model writes, served: completion of a text, and conversation.
 *
 * Every operation returns a future at once, never NULL, from any thread; what it reads from its
 * arguments it copies before it returns. The answer comes as a whole in the future's value and, where a
 * stream is asked for, piece by piece as it is chosen: bytes of UTF-8, never cut inside a character.
 * Many answers of many callers run side by side on one copy of the weights; one caller's slow reading,
 * failure or leaving does not touch the others. Errors that any operation may end with, beside its own:
 * PPH_RUNTIME_UNAVAILABLE, PPH_SHUTTING_DOWN, PPH_CANCELLED, PPH_TIMEOUT, PPH_QUEUE_FULL,
 * PPH_OUT_OF_MEMORY, and whatever loading the model ran into (told to every caller). */
#ifndef PARAPHYM_GENERATION_H
#define PARAPHYM_GENERATION_H

#include <paraphym/future.h>
#include <paraphym/inputs.h>
#include <paraphym/pool.h>
#include <paraphym/precision.h>
#include <paraphym/priority.h>
#include <paraphym/sampling.h>
#include <paraphym/stream.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_generation pph_generation;

/* precision      PPH_PRECISION_AUTO
 * priority       PPH_PRIORITY_NORMAL
 * timeout_ms     of each operation, loading included: PPH_TIMEOUT; 0: none
 * chat_template  which form conversations have ("chatml"); NULL: the one that the model's own
 *                chat_template is; copied
 * projector      the picture part of a GGUF model, a file; NULL: the one file beside the model whose name
 *                has "mmproj" in it, where its rows are as wide as the model; copied
 * public_only    addresses of pictures come from outside: fetch from public ones alone; false
 * max_pixels     of a picture, checked before it is decoded; 0: 100 million
 * max_bytes      of a picture's file, wherever it comes from; 0: 64 MiB
 * fetch_timeout_ms  of a picture's download; 0: 30 s
 * quantize       PPH_QUANTIZE_NONE; handles that differ in it load the model once each */
typedef struct pph_generation_options {
    pph_precision precision;
    pph_priority priority;
    int64_t timeout_ms;
    const char *chat_template, *projector;
    bool public_only;
    size_t max_pixels, max_bytes;
    int64_t fetch_timeout_ms;
    pph_quantize quantize;
} pph_generation_options;

PPH_API pph_generation_options pph_generation_defaults(void);

/* Serve the language model in `model`: a folder (Hugging Face layout, or with one GGUF model in it) or a GGUF
 * file. Returns before it is loaded: the first operations wait for that, and are told when it fails. A
 * LLaVA sees as well; one whose picture part is missing, damaged or another model's takes texts alone, and
 * says why when a picture is shown to it.
 * options  NULL for the defaults
 * Errors   PPH_INVALID_ARGUMENT, PPH_OUT_OF_MEMORY */
PPH_CHECKED PPH_API pph_status pph_generation_open(pph_generation **out, pph_pool *pool,
                                                   const char *model,
                                                   const pph_generation_options *options,
                                                   pph_error *err);

/* What waits or runs of this handle is told PPH_SHUTTING_DOWN. No operation may be called any more. Not
 * on the loop's thread. NULL is accepted; clears the pointer. */
PPH_API void pph_generation_close(pph_generation **generation);

/* sampling           as pph_sampling_defaults
 * max_tokens         of the answer, from 1; fewer where the model's context ends; 512
 * answer_room        tokens that the context must have room for behind the prompt, else PPH_TOO_LARGE; more than
 *                    a quarter of the context is taken as that; 0: one
 * stops              [stop_count], at most 16 of 1 to 1024 bytes: the answer ends before one; none
 * log_probabilities  tell those of the chosen tokens; false
 * alternatives       and of so many most probable tokens at every place; 0 to 20; 0
 * top_logits         tell so many of the highest logits behind the prompt; 0 to 1000; 0
 * parse_special      special tokens that the text spells out count as such (of a completion's prompt
 *                    alone, and only for prompts of your own); false
 * no_cache           compute everything again for every token: slow, and the same text; false */
typedef struct pph_generate_options {
    pph_sampling sampling;
    size_t max_tokens, answer_room;
    const char *const *stops;
    size_t stop_count;
    bool log_probabilities;
    size_t alternatives;
    size_t top_logits;
    bool parse_special, no_cache;
} pph_generate_options;

PPH_API pph_generate_options pph_generate_defaults(void);

/* STOP    the model ended its answer, or a stop string came
 * LENGTH  max_tokens are written, or the context is full */
typedef enum pph_finish_reason { PPH_FINISH_STOP, PPH_FINISH_LENGTH } pph_finish_reason;

/* "stop", "length"; "unknown" for a number that is none. */
PPH_API const char *pph_finish_reason_name(pph_finish_reason reason);

/* What an operation gives; borrowed from its future.
 * text               UTF-8, zero-terminated; size is without that
 * ids                [count], chosen tokens, without the one that ended the answer; they may spell more
 *                    than text where a stop string came
 * prompt_tokens      of the prompt; reused_tokens of them were in the cache, picture_tokens stand for
 *                    pictures
 * pictures           of the conversation; the model has looked at all but pictures_reused of them, which
 *                    it had seen before
 * seed               what was drawn with
 * log_probabilities  [count], where asked for; else NULL: natural logarithms, of the model's own
 *                    distribution, before any option of the sampling
 * alternatives       [count, alternative_count], likewise, the most probable first
 * top_logits         [top_logit_count], the highest first
 * queue_seconds      until the prompt was begun, loading included; prompt_seconds from there to the
 *                    first token, of which picture_seconds were spent in looking; decode_seconds from
 *                    the first token to the last */
typedef struct pph_generated {
    const char *text;
    size_t size;
    const int32_t *ids;
    size_t count;
    size_t prompt_tokens, reused_tokens, picture_tokens;
    size_t pictures, pictures_reused;
    pph_finish_reason finish_reason;
    int64_t seed;
    const float *log_probabilities;
    const pph_candidate *alternatives;
    size_t alternative_count;
    const pph_candidate *top_logits;
    size_t top_logit_count;
    double queue_seconds, prompt_seconds, picture_seconds, decode_seconds;
} pph_generated;

/* Go on with a text. Value: pph_generated.
 * prompt   UTF-8, zero-terminated; at most 16 MiB; empty only where the model has a start token
 * options  NULL for the defaults
 * stream   NULL: none; else set, to a stream that ends as the future does (freed by the caller). Freeing
 *          it before its end cancels the operation
 * Errors   PPH_INVALID_ARGUMENT (an option out of range, no token asked, invalid UTF-8), PPH_TOO_LARGE (a
 *          prompt beyond the model's context, with the numbers), PPH_MEMORY_EXHAUSTED (beyond what its
 *          cache has room for), PPH_MODEL_ERROR */
PPH_API pph_future *pph_generation_generate(pph_generation *generation, const char *prompt,
                                            const pph_generate_options *options,
                                            pph_stream **stream);

typedef enum pph_role { PPH_ROLE_SYSTEM, PPH_ROLE_USER, PPH_ROLE_ASSISTANT } pph_role;

/* pictures  [picture_count], of a message of the user's: shown before its text; NULL and 0: none */
typedef struct pph_message {
    pph_role role;
    const char *text;
    const pph_input *pictures;
    size_t picture_count;
} pph_message;

/* Answer in a conversation: `count` messages, perhaps one of the system, then turns of the user and the
 * assistant, the user's first and last. No message can spell special tokens; white space before the answer's first
 * word is left out. At most 256 pictures in all,
 * each looked at once, however often it is shown. The rest as above.
 * Errors  also PPH_UNSUPPORTED (the model's chat_template is none of the known forms, and the handle was
 *         opened without one; a picture is shown to a model that does not see), those of a picture and
 *         its download, as in multimodal.h, with its place where there are several */
PPH_API pph_future *pph_generation_chat(pph_generation *generation, const pph_message *messages,
                                        size_t count, const pph_generate_options *options,
                                        pph_stream **stream);

/* Load the model, and run what any longer conversation begins with that begins with these messages: such a
 * one then finds it in the cache. `count` may be 0; the last message may be anybody's. Value: pph_generated
 * without a text, whose prompt_tokens are those that were run.
 * Errors  those of pph_generation_chat */
PPH_API pph_future *pph_generation_warm(pph_generation *generation, const pph_message *messages,
                                        size_t count);

/* Ask about pictures: a conversation of one message.
 * question  UTF-8, zero-terminated
 * pictures  [count]; at least 1 */
PPH_API pph_future *pph_generation_ask(pph_generation *generation, const pph_input *pictures,
                                       size_t count, const char *question,
                                       const pph_generate_options *options, pph_stream **stream);

#ifdef __cplusplus
}
#endif
#endif
