/* Compiles with PCRE2's Unicode properties, and to machine code where the system lets it. Refuses
 * patterns that PCRE2 refuses, and gives up on a text after a bounded number of steps, so that no
 * text can hang its caller. PCRE2's heap is ours. */
#include "text/regex.h"

#include "base/mem.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define PATTERN_LIMIT ((size_t)64 << 10)
#define STEP_LIMIT    10000000
#define HEAP_LIMIT    (64U << 10) /* KiB, for patterns that backtrack without machine code */

/* The White_Space property as the inside of a class. */
#define SPACES                                                                                  \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"

struct pph_regex {
    pcre2_code *code;
    pcre2_match_context *limits;
};

struct pph_regex_scratch {
    pcre2_match_data *data;
};

static void *allocate(size_t size, void *context)
{
    (void)context;
    return pph_alloc(size);
}

static void release(void *pointer, void *context)
{
    (void)context;
    pph_free(pointer);
}

static void free_general(pcre2_general_context **context)
{
    pcre2_general_context_free(*context);
}

static void free_compile(pcre2_compile_context **context)
{
    pcre2_compile_context_free(*context);
}

/* What stands for a class of the dialect, inside brackets; NULL: PCRE2 means the same. PCRE2's \s also
 * takes U+180E, and its \w no marks. */
static const char *spelled_class(char name)
{
    switch (name) {
    case 's':
    case 'S':
        return SPACES;
    case 'w':
    case 'W':
        return "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";
    default:
        return NULL;
    }
}

/* Spell the classes out; a \S or \W within brackets cannot be, and stays PCRE2's. */
static pph_status spell_classes(pph_str pattern, pph_buffer *out, pph_error *err)
{
    bool in_class = false;
    for (size_t at = 0; at < pattern.size; at++) {
        char c = pattern.data[at], next = at + 1 < pattern.size ? pattern.data[at + 1] : 0;
        const char *class = c == '\\' ? spelled_class(next) : NULL;
        bool without = next == 'S' || next == 'W';
        if (class && !(without && in_class)) {
            PPH_TRY(pph_buffer_print(out, err, "%s%s%s",
                                     in_class  ? ""
                                     : without ? "[^"
                                               : "[",
                                     class, in_class ? "" : "]"));
            at++;
        } else if (c == '\\' && next) {
            PPH_TRY(pph_buffer_append(out, pattern.data + at, 2, err));
            at++;
        } else {
            in_class = c == '[' ? true : c == ']' ? false : in_class;
            PPH_TRY(pph_buffer_append(out, &c, 1, err));
        }
    }
    return PPH_OK;
}

static pph_status compile(pph_regex *regex, pph_str pattern, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer spelled = {0};
    PPH_TRY(spell_classes(pattern, &spelled, err));
    PPH_AUTO(free_general)
    pcre2_general_context *general = pcre2_general_context_create(allocate, release, NULL);
    PPH_AUTO(free_compile)
    pcre2_compile_context *options = general ? pcre2_compile_context_create(general) : NULL;
    regex->limits = general ? pcre2_match_context_create(general) : NULL;
    if (!options || !regex->limits)
        return PPH_FAIL_MEMORY(err, sizeof *regex);
    pcre2_set_match_limit(regex->limits, STEP_LIMIT);
    pcre2_set_heap_limit(regex->limits, HEAP_LIMIT);
    pcre2_set_newline(options, PCRE2_NEWLINE_LF);
    int number;
    PCRE2_SIZE offset;
    regex->code =
        pcre2_compile((PCRE2_SPTR)(spelled.size ? (const char *)spelled.data : ""), spelled.size,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &number,
                      &offset, options);
    if (!regex->code) {
        if (number == PCRE2_ERROR_HEAP_FAILED)
            return PPH_FAIL_MEMORY(err, spelled.size);
        PCRE2_UCHAR reason[160] = "";
        pcre2_get_error_message(number, reason, sizeof reason);
        return PPH_FAIL(err, PPH_CORRUPT, "the regular expression '%.*s' is not understood: %s",
                        (int)PPH_MIN(pattern.size, (size_t)120), pattern.data,
                        (const char *)reason);
    }
    /* Where machine code is not to be had, the interpreter does the same, slower. */
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return PPH_OK;
}

pph_status pph_regex_new(pph_regex **out, pph_str pattern, pph_error *err)
{
    if (pattern.size > PATTERN_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a regular expression of %zu bytes; at most %zu",
                        pattern.size, PATTERN_LIMIT);
    PPH_AUTO(pph_regex_free) pph_regex *regex = pph_alloc(sizeof *regex);
    if (!regex)
        return PPH_FAIL_MEMORY(err, sizeof *regex);
    PPH_TRY(compile(regex, pattern, err));
    *out = PPH_TAKE(regex);
    return PPH_OK;
}

void pph_regex_free(pph_regex **regex)
{
    if (!*regex)
        return;
    pcre2_code_free((*regex)->code);
    pcre2_match_context_free((*regex)->limits);
    pph_free(*regex);
    *regex = NULL;
}

pph_status pph_regex_scratch_new(pph_regex_scratch **out, pph_error *err)
{
    PPH_AUTO(pph_regex_scratch_free) pph_regex_scratch *scratch = pph_alloc(sizeof *scratch);
    PPH_AUTO(free_general)
    pcre2_general_context *general = pcre2_general_context_create(allocate, release, NULL);
    if (scratch && general)
        scratch->data = pcre2_match_data_create(1, general);
    if (!scratch || !scratch->data)
        return PPH_FAIL_MEMORY(err, sizeof *scratch);
    *out = PPH_TAKE(scratch);
    return PPH_OK;
}

void pph_regex_scratch_free(pph_regex_scratch **scratch)
{
    if (!*scratch)
        return;
    pcre2_match_data_free((*scratch)->data);
    pph_free(*scratch);
    *scratch = NULL;
}

pph_status pph_regex_search(const pph_regex *regex, pph_regex_scratch *scratch, pph_str subject,
                            size_t from, pph_regex_match *match, bool *found, pph_error *err)
{
    PCRE2_SPTR bytes = (PCRE2_SPTR)(subject.size ? subject.data : "");
    /* The text was checked once; checking it again at every search would be quadratic. */
    int count = pcre2_match(regex->code, bytes, subject.size, from, PCRE2_NO_UTF_CHECK,
                            scratch->data, regex->limits);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT)
        count = pcre2_match(regex->code, bytes, subject.size, from,
                            PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->data, regex->limits);
    *found = false;
    if (count == PCRE2_ERROR_NOMATCH)
        return PPH_OK;
    if (count == PCRE2_ERROR_NOMEMORY)
        return PPH_FAIL_MEMORY(err, subject.size);
    if (count < 0)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the tokenizer's regular expression takes too long on this text");
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(scratch->data);
    /* \K can put the start behind the end, or before where the search began. */
    if (at[0] > at[1] || at[0] < from)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the tokenizer's regular expression moves the start of its match");
    *match = (pph_regex_match){at[0], at[1]};
    *found = true;
    return PPH_OK;
}
