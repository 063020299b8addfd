/* Chat forms. Owns the table of what each writes, and the marks by which a model's template is known.
 * Sources: the model cards' own descriptions of their prompts. */
#include "text/chat.h"

#include "base/mem.h"
#include <string.h>

/* Stand for the model's own marks in the texts of a form. */
#define START "\1"
#define END   "\2"

/* What a form writes around words.
 * strips  words are written without white space around them */
typedef struct form_text {
    const char *system_before, *system_after;
    const char *user_before, *user_after;
    const char *assistant_before, *assistant_after;
    const char *answer;
    bool strips;
} form_text;

/* Llama 2 and Mistral put the system's words into a turn of the user: see write_folded. */
static const form_text forms[PPH_CHAT_FORM_COUNT] = {
    [PPH_CHAT_VICUNA] = {"", " ", "USER: ", " ", "ASSISTANT: ", END, "ASSISTANT:", false},
    [PPH_CHAT_LLAVA] = {"", " ", "USER: ", " ", "ASSISTANT: ", " ", "ASSISTANT:", false},
    [PPH_CHAT_CHATML] = {"<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n",
                         "<|im_end|>\n", "<|im_start|>assistant\n", "<|im_end|>\n",
                         "<|im_start|>assistant\n", false},
    [PPH_CHAT_LLAMA3] = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>",
                         "<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>",
                         "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>",
                         "<|start_header_id|>assistant<|end_header_id|>\n\n", true},
    [PPH_CHAT_PHI3] = {"<|system|>\n", "<|end|>\n", "<|user|>\n", "<|end|>\n", "<|assistant|>\n",
                       "<|end|>\n", "<|assistant|>\n", false},
    [PPH_CHAT_ZEPHYR] = {"<|system|>\n", END "\n", "<|user|>\n", END "\n", "<|assistant|>\n",
                         END "\n", "<|assistant|>\n", false},
};

static const char *const names[] = {
#define PPH_CHAT_ROW(name, text, whose) text,
    PPH_CHAT_FORM_MAP(PPH_CHAT_ROW)
#undef PPH_CHAT_ROW
};

#define PPH_CHAT_ROW(name, text, whose) " " text
static const char all_names[] = PPH_CHAT_FORM_MAP(PPH_CHAT_ROW);
#undef PPH_CHAT_ROW

/* ---- which form ---- */

const char *pph_chat_name(pph_chat_form form)
{
    return (unsigned)form < PPH_CHAT_FORM_COUNT ? names[form] : "unknown";
}

static pph_chat_template plain(pph_chat_form form)
{
    bool start = form == PPH_CHAT_LLAMA2 || form == PPH_CHAT_MISTRAL || form == PPH_CHAT_LLAMA3;
    return (pph_chat_template){
        .form = form, .start = start, .open = "[INST] ", .close = " [/INST]", .lead = " "};
}

pph_status pph_chat_named(pph_chat_template *out, const char *name, pph_error *err)
{
    for (unsigned i = 0; i < PPH_CHAT_FORM_COUNT; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = plain((pph_chat_form)i);
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                    "there is no prompt form '%.60s'; those known are:%s", name, all_names);
}

static const char *find(pph_str text, const char *mark)
{
    return memmem(text.data, text.size, mark, strlen(mark));
}

/* The mark as a literal of the template, in either kind of quotes. */
static bool has_literal(pph_str jinja, const char *mark)
{
    char quoted[64];
    size_t size = strlen(mark);
    memcpy(quoted + 1, mark, size);
    quoted[size + 2] = 0;
    quoted[0] = quoted[size + 1] = '\'';
    if (find(jinja, quoted))
        return true;
    quoted[0] = quoted[size + 1] = '"';
    return find(jinja, quoted);
}

/* ChatML templates say what the system says by default between its two marks, in one literal. */
static void find_system(pph_chat_template *it, pph_str jinja)
{
    static const char begins[] = "<|im_start|>system\\n", ends[] = "<|im_end|>";
    for (const char *at; (at = find(jinja, begins)) != NULL;) {
        at += sizeof begins - 1;
        jinja = (pph_str){at, jinja.size - (size_t)(at - jinja.data)};
        const char *end = find(jinja, ends);
        size_t size = end ? (size_t)(end - at) : 0;
        if (!size || size >= sizeof it->system || memchr(at, '\'', size) || memchr(at, '"', size) ||
            memchr(at, '\\', size) || memchr(at, '{', size))
            continue;
        memcpy(it->system, at, size);
        it->system[size] = 0;
        return;
    }
}

/* The family's templates differ in spaces, which its tokens show. */
static void find_spaces(pph_chat_template *it, pph_str jinja)
{
    it->open = has_literal(jinja, " [INST] ")  ? " [INST] "
               : has_literal(jinja, "[INST] ") ? "[INST] "
                                               : "[INST]";
    it->close = has_literal(jinja, " [/INST]") ? " [/INST]" : "[/INST]";
    it->lead = has_literal(jinja, " ") ? " " : "";
    it->system_last = find(jinja, "loop.last");
}

/* Marks in the order in which they tell: the first row that is found decides. */
static const struct {
    const char *mark, *and;
    pph_chat_form form;
} marks_of[] = {
    {"<|im_start|>", "<|im_end|>", PPH_CHAT_CHATML},
    {"<|start_header_id|>", "<|eot_id|>", PPH_CHAT_LLAMA3},
    {"<<SYS>>", "[INST]", PPH_CHAT_LLAMA2},
    {"[INST]", "[/INST]", PPH_CHAT_MISTRAL},
    {"<|user|>", "<|end|>", PPH_CHAT_PHI3},
    {"<|user|>", "eos_token", PPH_CHAT_ZEPHYR},
    {"ASSISTANT:", "<image>", PPH_CHAT_LLAVA},
    {"ASSISTANT:", "USER:", PPH_CHAT_VICUNA},
};

/* They look like one of the known forms, and are not. */
static const char *const others[] = {"<|im_sep|>", "[SYSTEM_PROMPT]", "<|start_of_role|>"};

pph_status pph_chat_recognise(pph_chat_template *out, pph_str jinja, pph_error *err)
{
    if (!jinja.size)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the model has no chat_template: say with --template which form its "
                        "prompts have; those known are:%s",
                        all_names);
    bool other = false;
    for (size_t i = 0; i < PPH_COUNT(others); i++)
        other = other || find(jinja, others[i]);
    for (size_t i = 0; i < PPH_COUNT(marks_of) && !other; i++) {
        if (!find(jinja, marks_of[i].mark) || !find(jinja, marks_of[i].and))
            continue;
        *out = plain(marks_of[i].form);
        out->start = find(jinja, "bos_token");
        out->dated = find(jinja, "Cutting Knowledge Date");
        if (out->form == PPH_CHAT_CHATML)
            find_system(out, jinja);
        if (out->form == PPH_CHAT_MISTRAL)
            find_spaces(out, jinja);
        return PPH_OK;
    }
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "the model's chat_template is none of the known forms: say with --template "
                    "which of them comes closest:%s",
                    all_names);
}

/* ---- writing ---- */

typedef struct chat_writer {
    const pph_chat_template *form;
    const pph_chat_marks *marks;
    pph_chat_prompt *out;
} chat_writer;

void pph_chat_prompt_deinit(pph_chat_prompt *prompt)
{
    pph_buffer_deinit(&prompt->text);
    pph_free(prompt->pieces);
    *prompt = (pph_chat_prompt){0};
}

/* Text of a kind; what follows text of its own kind joins it. */
static pph_status add(chat_writer *w, pph_chat_kind kind, pph_str text, pph_error *err)
{
    pph_chat_prompt *out = w->out;
    if (!text.size && kind != PPH_CHAT_PICTURE)
        return PPH_OK;
    size_t begin = out->text.size;
    PPH_TRY(pph_buffer_append(&out->text, text.data, text.size, err));
    bool joins = kind != PPH_CHAT_PICTURE && out->count && out->pieces[out->count - 1].kind == kind;
    if (joins) {
        out->pieces[out->count - 1].end = out->text.size;
        return PPH_OK;
    }
    if (out->count == out->room) {
        size_t room = out->room ? 2 * out->room : 16;
        pph_chat_piece *grown = pph_resize(out->pieces, room, sizeof *grown);
        if (!grown)
            return PPH_FAIL_MEMORY(err, room * sizeof *grown);
        out->pieces = grown;
        out->room = room;
    }
    out->pieces[out->count++] = (pph_chat_piece){kind, begin, out->text.size};
    return PPH_OK;
}

/* A text of the form, in which START and END stand for the model's marks. */
static pph_status add_form(chat_writer *w, const char *text, pph_error *err)
{
    while (*text) {
        size_t size = strcspn(text, START END);
        PPH_TRY(add(w, PPH_CHAT_FORM, (pph_str){text, size}, err));
        text += size;
        if (*text)
            PPH_TRY(
                add(w, PPH_CHAT_FORM, *text++ == *START ? w->marks->start : w->marks->end, err));
    }
    return PPH_OK;
}

static pph_str strip(pph_str text, bool left, bool right)
{
    size_t length;
    while (left && text.size && pph_unicode_space(pph_utf8_decode(text, 0, &length)))
        text = (pph_str){text.data + length, text.size - length};
    while (right && text.size) {
        size_t last = text.size - 1;
        while (last && ((unsigned char)text.data[last] & 0xC0) == 0x80)
            last--;
        if (!pph_unicode_space(pph_utf8_decode(text, last, &length)))
            break;
        text.size = last;
    }
    return text;
}

/* Pictures first, a line each, then the words. */
static pph_status add_said(chat_writer *w, const pph_chat_message *message, pph_str text,
                           pph_error *err)
{
    for (size_t i = 0; i < message->pictures; i++) {
        PPH_TRY(add(w, PPH_CHAT_PICTURE, (pph_str){0}, err));
        PPH_TRY(add_form(w, "\n", err));
    }
    return add(w, PPH_CHAT_SAID, text, err);
}

static pph_status write_turns(chat_writer *w, const pph_chat_message *messages, size_t count,
                              pph_error *err)
{
    const form_text *form = &forms[w->form->form];
    const char *const before[] = {form->system_before, form->user_before, form->assistant_before};
    const char *const after[] = {form->system_after, form->user_after, form->assistant_after};
    bool system = messages[0].role == PPH_CHAT_SYSTEM;
    if (!system && (w->form->system[0] || w->form->dated)) {
        PPH_TRY(add_form(w, form->system_before, err));
        PPH_TRY(add_form(w,
                         w->form->dated ? "Cutting Knowledge Date: December 2023\n"
                                          "Today Date: 26 Jul 2024\n\n"
                                        : w->form->system,
                         err));
        PPH_TRY(add_form(w, form->system_after, err));
    }
    for (size_t i = 0; i < count; i++) {
        const pph_chat_message *message = &messages[i];
        PPH_TRY(add_form(w, before[message->role], err));
        if (message->role == PPH_CHAT_SYSTEM && w->form->dated)
            PPH_TRY(add_form(
                w, "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n", err));
        PPH_TRY(add_said(w, message, strip(message->text, form->strips, form->strips), err));
        PPH_TRY(add_form(w, after[message->role], err));
    }
    return add_form(w, form->answer, err);
}

/* Llama 2: the system's words in marks before the first words of the user. Strips the turn as a whole. */
static pph_status write_llama2(chat_writer *w, const pph_chat_message *messages, size_t count,
                               pph_error *err)
{
    const pph_chat_message *system = messages[0].role == PPH_CHAT_SYSTEM ? &messages[0] : NULL;
    for (size_t i = system ? 1 : 0, first = i; i < count; i++) {
        const pph_chat_message *message = &messages[i];
        bool answer = message->role == PPH_CHAT_ASSISTANT, told = system && i == first;
        pph_str text = strip(message->text, !told && !message->pictures, true);
        PPH_TRY(add_form(w, answer ? " " : i == first ? "[INST] " : START "[INST] ", err));
        if (told) {
            PPH_TRY(add_form(w, "<<SYS>>\n", err));
            PPH_TRY(add(w, PPH_CHAT_SAID, system->text, err));
            PPH_TRY(add_form(w, "\n<</SYS>>\n\n", err));
        }
        PPH_TRY(add_said(w, message, text, err));
        PPH_TRY(add_form(w, answer ? " " END : " [/INST]", err));
    }
    return PPH_OK;
}

/* Mistral: the system's words before the first or the last words of the user. */
static pph_status write_mistral(chat_writer *w, const pph_chat_message *messages, size_t count,
                                pph_error *err)
{
    const pph_chat_message *system = messages[0].role == PPH_CHAT_SYSTEM ? &messages[0] : NULL;
    size_t first = system ? 1 : 0, where = w->form->system_last ? count - 1 : first;
    for (size_t i = first; i < count; i++) {
        const pph_chat_message *message = &messages[i];
        bool answer = message->role == PPH_CHAT_ASSISTANT;
        PPH_TRY(add_form(w, answer ? w->form->lead : w->form->open, err));
        if (system && i == where) {
            PPH_TRY(add(w, PPH_CHAT_SAID, system->text, err));
            PPH_TRY(add_form(w, "\n\n", err));
        }
        PPH_TRY(add_said(w, message, message->text, err));
        PPH_TRY(add_form(w, answer ? END : w->form->close, err));
    }
    return PPH_OK;
}

static pph_status check(const pph_chat_message *messages, size_t count, pph_error *err)
{
    if (!count)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a conversation needs a message");
    size_t first = messages[0].role == PPH_CHAT_SYSTEM;
    for (size_t i = 0; i < count; i++) {
        bool system = i < first;
        pph_chat_role wanted = system                 ? PPH_CHAT_SYSTEM
                               : (i - first) % 2 == 0 ? PPH_CHAT_USER
                                                      : PPH_CHAT_ASSISTANT;
        if (messages[i].role != wanted)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "message %zu is out of turn: one of the system may come first, then "
                            "the user and the assistant take turns",
                            i + 1);
        if (messages[i].pictures && wanted != PPH_CHAT_USER)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "message %zu has a picture: only the user's may have", i + 1);
    }
    if (messages[count - 1].role != PPH_CHAT_USER)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "the last message has to be the user's, for the assistant to answer");
    return PPH_OK;
}

pph_status pph_chat_write(const pph_chat_template *form, const pph_chat_marks *marks,
                          const pph_chat_message *messages, size_t count, pph_chat_prompt *out,
                          pph_error *err)
{
    PPH_TRY(check(messages, count, err));
    out->count = 0;
    out->text.size = 0;
    chat_writer w = {form, marks, out};
    if (form->start || marks->framed)
        PPH_TRY(add_form(&w, START, err));
    if (form->form == PPH_CHAT_LLAMA2)
        return write_llama2(&w, messages, count, err);
    if (form->form == PPH_CHAT_MISTRAL)
        return write_mistral(&w, messages, count, err);
    return write_turns(&w, messages, count, err);
}

/* ---- to tokens ---- */

/* Pieces [first, last), none of them a picture: one text, in which the form's special tokens count. */
static pph_status encode_pieces(const pph_chat_prompt *prompt, size_t first, size_t last,
                                const pph_tokenizer *tokenizer, pph_tokens *out, pph_error *err)
{
    if (first == last)
        return PPH_OK;
    PPH_AUTO(pph_free_at)
    pph_tokenizer_range *ranges = pph_alloc_array(last - first, sizeof *ranges);
    if (!ranges)
        return PPH_FAIL_MEMORY(err, (last - first) * sizeof *ranges);
    size_t begin = prompt->pieces[first].begin, end = prompt->pieces[last - 1].end, count = 0;
    for (size_t i = first; i < last; i++)
        if (prompt->pieces[i].kind == PPH_CHAT_FORM)
            ranges[count++] = (pph_tokenizer_range){prompt->pieces[i].begin - begin,
                                                    prompt->pieces[i].end - begin};
    pph_str text = {(const char *)prompt->text.data + begin, end - begin};
    return pph_tokenizer_encode_marked(tokenizer, text, ranges, count, begin > 0, out, err);
}

pph_status pph_chat_encode(const pph_chat_prompt *prompt, const pph_tokenizer *tokenizer,
                           pph_tokens *out, size_t *places, pph_error *err)
{
    size_t first = 0, pictures = 0;
    out->count = 0;
    for (size_t i = 0; i < prompt->count; i++) {
        if (prompt->pieces[i].kind != PPH_CHAT_PICTURE)
            continue;
        PPH_TRY(encode_pieces(prompt, first, i, tokenizer, out, err));
        places[pictures++] = out->count;
        first = i + 1;
    }
    return encode_pieces(prompt, first, prompt->count, tokenizer, out, err);
}
