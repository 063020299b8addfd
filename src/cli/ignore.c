/* Patterns of names. Pure. */
#include "cli/ignore.h"

#include <string.h>

/* '*' and '?' over the whole of `name`; a star is tried again from where it stood. */
static bool fits(pph_str pattern, pph_str name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, from = 0;
    while (n < name.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            from = n;
        } else if (p < pattern.size &&
                   (pattern.data[p] == '?' || pattern.data[p] == name.data[n])) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}

static bool rule_matches(pph_str rule, pph_str name, bool folder)
{
    if (rule.size && rule.data[rule.size - 1] == '/') {
        if (!folder)
            return false;
        rule.size--;
    }
    if (rule.size && rule.data[0] == '/')
        rule = (pph_str){rule.data + 1, rule.size - 1};
    return rule.size && !memchr(rule.data, '/', rule.size) && fits(rule, name);
}

bool pph_ignore_matches(pph_str rules, const char *name, bool folder)
{
    bool ignored = false;
    for (size_t at = 0, end; at < rules.size; at = end + 1) {
        const char *newline = memchr(rules.data + at, '\n', rules.size - at);
        end = newline ? (size_t)(newline - rules.data) : rules.size;
        pph_str rule = {rules.data + at, end - at};
        while (rule.size && strchr(" \t\r", rule.data[rule.size - 1]))
            rule.size--;
        bool taken = rule.size && rule.data[0] == '!';
        if (taken)
            rule = (pph_str){rule.data + 1, rule.size - 1};
        if (rule.size && rule.data[0] != '#' && rule_matches(rule, pph_str_view(name), folder))
            ignored = !taken;
    }
    return ignored;
}
