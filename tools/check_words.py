#!/usr/bin/env python3
"""No path of one person's machine, and no open end without an owner, in any text of the tree."""

import re
import subprocess

from gate import Gate

TEXT = {".c", ".h", ".py", ".md", ".txt", ".build", ".sh", ".yml", ".1", ""}
# Data, and the test that has to write the forbidden words.
EXEMPT = re.compile(r"(tests/golden|tests/fuzz/seeds|models/.*\.json)|tests/tools/test_gates\.py")

RULES = [
    (re.compile(r"(?<![\w.])/(root|work|home/\w+)/"), "names a folder of one machine"),
    (re.compile(r"\b(TODO|FIXME|XXX)\b(?!\(\w+\))"), "needs an owner: TODO(name)"),
]


def tree(gate):
    """What git tracks, or, where the tree is no checkout, everything in it."""
    listed = subprocess.run(["git", "-C", gate.root, "ls-files", "-z"], capture_output=True,
                            text=True) if (gate.root / ".git").exists() else None
    if listed and listed.returncode == 0:
        names = listed.stdout.split("\0")
    else:
        names = [str(path.relative_to(gate.root)) for path in sorted(gate.root.rglob("*"))
                 if "build" not in path.relative_to(gate.root).parts]
    return [name for name in names if name and (gate.root / name).is_file()]


def main():
    gate = Gate(__doc__)
    for name in tree(gate):
        path = gate.root / name
        if path.suffix not in TEXT or EXEMPT.match(name) or name == "tools/check_words.py":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            for pattern, sentence in RULES:
                match = pattern.search(line)
                if match:
                    gate.complain(name, number, f"'{match.group(0)}' {sentence}")
    gate.finish()


if __name__ == "__main__":
    main()
