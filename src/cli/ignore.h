/* Which files of a folder are passed over: hidden ones, and those that its .gitignore names. */
#ifndef PPH_CLI_IGNORE_H
#define PPH_CLI_IGNORE_H

#include "base/str.h"

/* Whether `name`, a file's or a folder's own, is matched by a pattern of `rules`, the content of a .gitignore:
 * a line each; '*' is any run of characters and '?' one; "x/" is a folder alone; what begins with '!' is
 * taken after all; '#' begins a comment. The last that matches counts. Patterns with a path in them
 * ("a/b") are not looked at, but for a slash that begins one. */
bool pph_ignore_matches(pph_str rules, const char *name, bool folder);

#endif
