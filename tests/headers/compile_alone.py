"""Each public header compiles on its own and may be included twice.

As C99 and C17 without extensions; as C++ too where the compiler can: clang always, gcc with g++.
"""

import pathlib
import subprocess
import sys

INCLUDE, COMPILER = pathlib.Path(sys.argv[1]), sys.argv[2:]
STANDARDS = [("c", "c99"), ("c", "c17"), ("c++", "c++17")]
FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Werror", "-fsyntax-only", "-"]


def compiles(language, standard, source):
    done = subprocess.run([*COMPILER, "-x", language, f"-std={standard}", f"-I{INCLUDE}", *FLAGS],
                          input=source, capture_output=True, text=True)
    return done.returncode == 0, done.stderr


def main():
    headers = sorted(path.name for path in (INCLUDE / "paraphym").glob("*.h"))
    standards = [pair for pair in STANDARDS if pair[0] == "c" or compiles(*pair, "int x;\n")[0]]
    print(f"1..{len(headers) * len(standards)}")
    number = failed = 0
    for language, standard in standards:
        for header in headers:
            number += 1
            good, said = compiles(language, standard, f"#include <paraphym/{header}>\n" * 2)
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - {header} as {standard}")
            sys.stderr.write(said)
    sys.exit(1 if failed or not headers else 0)


if __name__ == "__main__":
    main()
