"""The shared library exports what the public headers declare, and nothing else."""

import pathlib
import re
import subprocess
import sys

import tap

LIBRARY, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])


def exported():
    listed = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True,
                            check=True).stdout
    return {line.split()[-1].split("@")[0] for line in listed.splitlines() if " T " in line
            or " D " in line or " B " in line or " R " in line}


def declared():
    names = set()
    for header in (ROOT / "include/paraphym").glob("*.h"):
        text = re.sub(r"/\*.*?\*/|^[ \t]*#[^\n]*", "", header.read_text(), flags=re.S | re.M)
        for statement in re.split(r"[;{}]", text):
            if re.search(r"\bPPH_API\b", statement):
                names.add(re.search(r"\b(pph_\w+)\s*\(", statement).group(1))
    return names


def test_what_is_declared_is_exported():
    assert not declared() - exported(), declared() - exported()


def test_what_is_exported_is_declared():
    # The sanitizers' and the coverage's own symbols begin with two underscores.
    extra = {name for name in exported() - declared() if not name.startswith("__")}
    assert not extra, extra


def test_there_is_something_to_export():
    assert "pph_status_name" in declared() and len(declared()) > 3, declared()


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
