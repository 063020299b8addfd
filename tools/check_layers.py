#!/usr/bin/env python3
"""The rooms' order: an include points down it, or the build fails."""

from gate import Gate, includes

# What each room may use directly; what those use, it may use too.
MAY_USE = {
    "base": [],
    "runtime": ["base"],
    "compute": ["base"],
    "image": ["base", "compute"],
    "text": ["base"],
    "weights": ["base", "compute"],
    "model": ["compute", "image", "text", "weights"],
    "pool": ["runtime", "model"],
    "memory": ["pool"],
    "agent": ["pool", "memory"],
    "server": ["agent"],
    "cli": ["server"],
}

STANDARD = {
    "assert.h", "complex.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "limits.h", "math.h",
    "signal.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h",
    "time.h",
}


def reach(room):
    below = {room}
    for other in MAY_USE[room]:
        below |= reach(other)
    return below


def owner(root, public):
    """The room that implements <paraphym/public>: the one with a file of that name."""
    if public == "status.h":
        return "base"
    stem = public.removesuffix(".h")
    for room in MAY_USE:
        if any((root / "src" / room / (stem + end)).exists() for end in (".c", ".h")):
            return room
    return None


def check_source(gate, path, room):
    allowed = reach(room)
    in_source = path.parts[0] == "src"
    for line, bracket, name in includes(gate.read(path)):
        first = name.split("/")[0]
        if bracket == "<":
            above = owner(gate.root, name[9:]) if first == "paraphym" else None
            if above and above not in allowed:
                gate.complain(path, line, f"{room}/ includes <{name}>, which {above}/ implements: "
                                          f"{room}/ may use {', '.join(sorted(allowed))}")
        elif "/" in name and first in MAY_USE:
            if first not in allowed:
                gate.complain(path, line, f'{room}/ includes "{name}": '
                                          f"{room}/ may use {', '.join(sorted(allowed))}")
        elif in_source:
            gate.complain(path, line, f'"{name}" is not written as "room/file.h"')


def check_public(gate, path):
    for line, bracket, name in includes(gate.read(path)):
        if bracket == '"' or not (name.startswith("paraphym/") or name in STANDARD):
            gate.complain(path, line, f"a public header includes {name}: only <paraphym/...> and "
                                      "the C standard library are allowed")


def main():
    gate = Gate(__doc__)
    for path in gate.c_files("src"):
        if path.parts[1] not in MAY_USE or len(path.parts) < 3:
            gate.complain(path, 1, "lies in no room that tools/check_layers.py knows")
        else:
            check_source(gate, path, path.parts[1])
    for path in gate.c_files("tests"):
        if path.parts[1] in MAY_USE:
            check_source(gate, path, path.parts[1])
    for path in gate.c_files("include"):
        check_public(gate, path)
    gate.finish()


if __name__ == "__main__":
    main()
