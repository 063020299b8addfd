/* Conversations as the text that a model was trained on: known forms, and which of them a model's own
 * chat_template is.
 *
 * What a form writes and what people said stay apart: a prompt is a list of pieces, and only those of the
 * form may be read as special tokens. So nobody can end a turn, or begin one, by writing its marks. */
#ifndef PPH_TEXT_CHAT_H
#define PPH_TEXT_CHAT_H

#include "text/tokenizer.h"

/* One row a form: name, the name that people give, whose it is. */
#define PPH_CHAT_FORM_MAP(ROW)                                        \
    ROW(VICUNA, "vicuna", "Vicuna 1.1 and 1.5")                       \
    ROW(LLAVA, "llava", "LLaVA 1.5 in the hub's form")                \
    ROW(LLAMA2, "llama-2", "Llama 2 chat")                            \
    ROW(MISTRAL, "mistral", "Mistral and Mixtral instruct")           \
    ROW(CHATML, "chatml", "Qwen, and many that were tuned by others") \
    ROW(LLAMA3, "llama-3", "Llama 3 instruct")                        \
    ROW(PHI3, "phi-3", "Phi 3 and 3.5")                               \
    ROW(ZEPHYR, "zephyr", "Zephyr, TinyLlama chat")

typedef enum pph_chat_form {
#define PPH_CHAT_ROW(name, text, whose) PPH_CHAT_##name,
    PPH_CHAT_FORM_MAP(PPH_CHAT_ROW)
#undef PPH_CHAT_ROW
        PPH_CHAT_FORM_COUNT
} pph_chat_form;

/* A form with what models of one family do differently. A plain value.
 * start         the template writes the start token itself
 * dated         Llama 3.1 and later: a system turn that tells dates comes first
 * open, close   Mistral: what stands around what the user says; `lead` what stands before an answer
 * system_last   Mistral: the system's words go into the last turn of the user, not the first
 * system        what the system says where nobody gave it words; empty: nothing */
typedef struct pph_chat_template {
    pph_chat_form form;
    bool start, dated, system_last;
    const char *open, *close, *lead;
    char system[256];
} pph_chat_template;

/* The form that people name. Errors: PPH_INVALID_ARGUMENT, with the names. */
PPH_CHECKED pph_status pph_chat_named(pph_chat_template *out, const char *name, pph_error *err);

/* The form that a model's chat_template (Jinja text) is, by its marks.
 * jinja   empty: the model has none
 * Errors  PPH_UNSUPPORTED: none of the known ones; the sentence tells of --template and the names */
PPH_CHECKED pph_status pph_chat_recognise(pph_chat_template *out, pph_str jinja, pph_error *err);

/* "chatml"; "unknown" for a number that is no form. */
const char *pph_chat_name(pph_chat_form form);

typedef enum pph_chat_role { PPH_CHAT_SYSTEM, PPH_CHAT_USER, PPH_CHAT_ASSISTANT } pph_chat_role;

/* What somebody said: text, with pictures before it. */
typedef struct pph_chat_message {
    pph_chat_role role;
    size_t pictures;
    pph_str text;
} pph_chat_message;

/* How the model spells its start and end tokens ("<s>", "</s>"); empty: it has none.
 * framed  its tokenizer puts the start token before every text */
typedef struct pph_chat_marks {
    pph_str start, end;
    bool framed;
} pph_chat_marks;

typedef enum pph_chat_kind {
    PPH_CHAT_FORM,    /* the form's: special tokens in it count */
    PPH_CHAT_SAID,    /* somebody's words: special tokens in it are text like any other */
    PPH_CHAT_PICTURE, /* the next picture, in the order of the messages; no text */
} pph_chat_kind;

/* text[begin .. end) */
typedef struct pph_chat_piece {
    pph_chat_kind kind;
    size_t begin, end;
} pph_chat_piece;

/* Starts as {0}. The start token, where there is one, is part of the text. */
typedef struct pph_chat_prompt {
    pph_buffer text;
    pph_chat_piece *pieces;
    size_t count, room;
} pph_chat_prompt;

void pph_chat_prompt_deinit(pph_chat_prompt *prompt);

/* Write a conversation, up to where the assistant is to answer.
 * messages  [count]: at most one of the system, which comes first; then turns of the user and the
 *           assistant, the user's first and last; valid UTF-8
 * out       {0}, or one to be written over
 * Errors    PPH_INVALID_ARGUMENT (another order, or a message of the assistant's or the system's with a
 *           picture), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_chat_write(const pph_chat_template *form, const pph_chat_marks *marks,
                                      const pph_chat_message *messages, size_t count,
                                      pph_chat_prompt *out, pph_error *err);

/* The prompt's tokens.
 * places  [pictures of the prompt]: how many tokens come before each; may be NULL where there are none
 * out     starts as {0}, or is written over
 * Errors  the tokenizer's */
PPH_CHECKED pph_status pph_chat_encode(const pph_chat_prompt *prompt,
                                       const pph_tokenizer *tokenizer, pph_tokens *out,
                                       size_t *places, pph_error *err);

#endif
