/* Any bytes as one of sentence-transformers' files, which the first byte chooses: refused with a
 * sentence, or what was read is in its range, and its prompts are found. */
#include "weights/sentence.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_all(const pph_sentence *s)
{
    check(s->poolings && s->poolings < 1U << PPH_POOLINGS);
    check(s->step_count <= PPH_SENTENCE_STEPS && s->prompt_count <= PPH_SENTENCE_PROMPTS);
    check(s->chosen >= -1 && s->chosen < (int)s->prompt_count);
    for (size_t i = 0; i < s->step_count; i++) {
        const pph_sentence_step *step = &s->steps[i];
        check(memchr(step->folder, 0, sizeof step->folder) && !strchr(step->folder, '/'));
        check(step->folder[0] != '.');
        check(step->inputs >= 0 && step->inputs <= 65536 && step->outputs <= 65536);
    }
    pph_str prompt;
    for (size_t i = 0; i < s->prompt_count; i++)
        check(pph_sentence_find(s, s->prompts[i].name, &prompt, NULL) == PPH_OK);
    check(pph_sentence_find(s, NULL, &prompt, NULL) == PPH_OK);
    check(pph_sentence_find(s, "document", &prompt, NULL) == PPH_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pph_sentence *sentence = NULL;
    pph_sentence_modules modules;
    pph_error err = {0};
    if (!size || pph_sentence_new(&sentence, NULL) != PPH_OK)
        return 0;
    unsigned which = bytes[0] % (PPH_SENTENCE_FILES + 1);
    sentence->step_count = which == PPH_SENTENCE_DENSE;
    pph_status status =
        which == PPH_SENTENCE_FILES
            ? pph_sentence_parse_modules(sentence, &modules, "input", bytes + 1, size - 1, &err)
            : pph_sentence_parse(sentence, (pph_sentence_file)which, "input", bytes + 1, size - 1,
                                 &err);
    check(status == err.status && (status == PPH_OK || err.message[0]));
    if (status == PPH_OK)
        check_all(sentence);
    pph_sentence_free(&sentence);
    return 0;
}
