#!/usr/bin/env python3
"""Files under 800 lines, functions under 80. Generated files are exempt; tables are no functions."""

import re

from gate import Gate, is_generated, without_comments

FILE_LINES = 800
FUNCTION_LINES = 80

DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)(?:\\\n|[^\n])*", re.M)


def first_branches(text):
    """Blank out directives, and of each #if all branches but the first, so that braces balance."""
    out, last, skipping, stack = [], 0, 0, []
    for match in DIRECTIVE.finditer(text):
        between = text[last:match.start()]
        out.append("\n" * between.count("\n") if skipping else between)
        out.append("\n" * match.group(0).count("\n"))
        last = match.end()
        word = match.group(1)
        if word in ("if", "ifdef", "ifndef"):
            stack.append(False)
        elif word in ("else", "elif") and stack and not stack[-1]:
            stack[-1] = True
            skipping += 1
        elif word == "endif" and stack and stack.pop():
            skipping -= 1
    out.append(text[last:])
    return "".join(out)


def is_function(head):
    """Whether the text before a brace at file level is the head of a function."""
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", head, flags=re.S).strip()
    return head.endswith(")") and not re.search(r"=(?!=)", head)


def functions(text):
    """(name, first line, lines) of each function that the file defines."""
    clean = first_branches(without_comments(text, strings=False))
    depth, head_start, found, name, first = 0, 0, [], None, 0
    for match in re.finditer(r"[{};]", clean):
        at, sign = match.start(), match.group(0)
        if sign == "{":
            head = clean[head_start:at]
            if depth == 0 and re.search(r'extern\s*""\s*$', head):
                head_start = at + 1
                continue
            if depth == 0 and is_function(head):
                words = re.findall(r"(\w+)\s*\(", head)
                name = words[0] if words else "?"
                first = clean.count("\n", 0, head_start + len(head) - len(head.lstrip())) + 1
            depth += 1
        elif sign == "}" and depth:
            depth -= 1
            if depth == 0:
                if name:
                    found.append((name, first, clean.count("\n", 0, at) + 2 - first))
                name = None
        if depth == 0:
            head_start = at + 1
    return found


def main():
    gate = Gate(__doc__)
    for path in gate.c_files("src", "include", "tests", "bench"):
        text = gate.read(path)
        if is_generated(text):
            continue
        lines = text.count("\n")
        if lines >= FILE_LINES:
            gate.complain(path, lines, f"{lines} lines; a file has fewer than {FILE_LINES}: "
                                       "split it by noun")
        for name, first, length in functions(text):
            if length >= FUNCTION_LINES:
                gate.complain(path, first, f"{name} has {length} lines; a function has fewer than "
                                           f"{FUNCTION_LINES}")
    gate.finish()


if __name__ == "__main__":
    main()
