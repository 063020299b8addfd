/* Prompts of judges, and their answers: taken strictly, since a model that explains itself has not
 * understood what was asked, and the first number of what it says may be of anything. */
#include "memory/judging.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const criteria[PPH_JUDGING_CRITERIA] = {"clarity", "relevance", "completeness"};
enum { TOKENS_ONE = 8, TOKENS_ITEM = 16, DECIMAL_MAX = 16 };

const char *pph_judging_criterion(size_t criterion)
{
    return criteria[criterion];
}

pph_status pph_judging_line(pph_str text, pph_buffer *out, pph_error *err)
{
    size_t begin = out->size, length;
    bool space = false;
    for (size_t at = 0; at < text.size; at += length) {
        uint32_t point = pph_utf8_decode(text, at, &length);
        if (pph_unicode_space(point) || pph_unicode_control(point)) {
            space = out->size > begin;
            continue;
        }
        if (out->size - begin + length + space > PPH_JUDGING_TEXT_MAX)
            return pph_buffer_print(out, err, " \xE2\x80\xA6");
        if (space)
            PPH_TRY(pph_buffer_append(out, " ", 1, err));
        space = false;
        PPH_TRY(pph_buffer_append(out, text.data + at, length, err));
    }
    return PPH_OK;
}

pph_status pph_judging_prompt(const char *const *lines, size_t count, size_t criterion,
                              pph_buffer *out, pph_error *err)
{
    if (count == 1)
        return pph_buffer_print(out, err,
                                "Rate the %s of this text from 0.0 to 1.0, only a decimal: %s",
                                criteria[criterion], lines[0]);
    PPH_TRY(pph_buffer_print(out, err,
                             "Rate the %s of each of these %zu texts from 0.0 to 1.0. Answer with "
                             "one line for each, its number and only a decimal:",
                             criteria[criterion], count));
    for (size_t i = 0; i < count; i++)
        PPH_TRY(pph_buffer_print(out, err, "\n%zu: %s", i + 1, lines[i]));
    return PPH_OK;
}

size_t pph_judging_tokens(size_t count)
{
    return count == 1 ? TOKENS_ONE : count * TOKENS_ITEM;
}

static pph_str trim(pph_str text)
{
    static const char blanks[] = " \t\r\n";
    while (text.size && strchr(blanks, text.data[0]) && text.data[0])
        text = (pph_str){text.data + 1, text.size - 1};
    while (text.size && strchr(blanks, text.data[text.size - 1]) && text.data[text.size - 1])
        text.size--;
    return text;
}

bool pph_judging_read(pph_str answer, double *out)
{
    pph_str text = trim(answer);
    char digits[DECIMAL_MAX + 1];
    size_t points = 0, count = 0;
    if (text.size > 1 && text.data[text.size - 1] == '.')
        text.size--;
    if (!text.size || text.size > DECIMAL_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        bool digit = text.data[i] >= '0' && text.data[i] <= '9';
        points += text.data[i] == '.';
        count += digit;
        if (!digit && text.data[i] != '.')
            return false;
    }
    if (!count || points > 1 || text.data[text.size - 1] == '.')
        return false;
    memcpy(digits, text.data, text.size);
    digits[text.size] = 0;
    double value = strtod(digits, NULL);
    if (!(value <= 1))
        return false;
    *out = value;
    return true;
}

size_t pph_judging_read_batch(pph_str answer, size_t count, double *scores)
{
    size_t found = 0;
    bool twice[PPH_JUDGING_ITEMS] = {false};
    for (size_t i = 0; i < count; i++)
        scores[i] = (double)NAN;
    while (answer.size) {
        const char *end = memchr(answer.data, '\n', answer.size);
        size_t size = end ? (size_t)(end - answer.data) : answer.size;
        pph_str line = trim((pph_str){answer.data, size});
        answer = (pph_str){answer.data + size + (end != NULL), answer.size - size - (end != NULL)};
        size_t item = line.size > 2 && line.data[1] == ':' ? (size_t)(line.data[0] - '1') : count;
        double score;
        if (item >= count || !pph_judging_read((pph_str){line.data + 2, line.size - 2}, &score))
            continue;
        twice[item] |= !isnan(scores[item]) && scores[item] != score;
        scores[item] = score;
    }
    for (size_t i = 0; i < count; i++) {
        if (twice[i])
            scores[i] = (double)NAN;
        found += !isnan(scores[i]);
    }
    return found;
}
