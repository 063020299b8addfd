#!/usr/bin/env python3
"""No file is forgotten: every .c of a room, a test or a fuzz target stands in its meson.build."""

import re

from gate import Gate


def is_named(stem, build):
    """Whether a meson.build names the file: whole, or as 'prefix_' + 'rest'."""
    code = re.sub(r"(?m)^\s*#.*$", "", build)  # an apostrophe of prose would open a string
    words = set(re.findall(r"'([^']*)'", code))
    if stem in words or stem + ".c" in words:
        return True
    cuts = [at + 1 for at, letter in enumerate(stem) if letter == "_"]
    return any(stem[:cut] in words and stem[cut:] in words for cut in cuts)


def main():
    gate = Gate(__doc__)
    for path in gate.c_files("src", "tests"):
        if path.suffix != ".c":
            continue
        build = gate.root / path.parent / "meson.build"
        gate.looked_at.append(build)
        if not build.is_file() or not is_named(path.stem, build.read_text()):
            gate.complain(path, 1, f"is not in {path.parent}/meson.build: nothing compiles it")
    gate.finish()


if __name__ == "__main__":
    main()
