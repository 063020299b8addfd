#!/usr/bin/env python3
"""One door per dependency: who may include which foreign header and call what.

A foreign header that no row names is refused: a new dependency is given its door here first.
"""

import fnmatch
import re

from gate import Gate, includes, without_comments

# Foreign header -> the files that are its door.
HEADERS = {
    "uv.h": ["src/runtime/*"],
    "curl/*": ["src/runtime/fetch*.[ch]"],
    "jansson.h": ["src/base/json.c"],
    "utf8proc.h": ["src/base/unicode.c"],
    "xxhash.h": ["src/base/hash.c"],
    "dnnl*.h": ["src/compute/matmul.c"],
    "oneapi/*": ["src/compute/matmul.c"],
    "omp.h": ["src/compute/matmul.c"],
    "jpeglib.h": ["src/image/jpeg.c"],
    "jerror.h": ["src/image/jpeg.c"],
    "spng.h": ["src/image/png.c"],
    "webp/*": ["src/image/webp.c"],
    "gif_lib.h": ["src/image/gif.c"],
    "pcre2.h": ["src/text/regex.c"],
    "sqlite3.h": ["src/memory/sql.c", "src/memory/sql_rank.c"],
    "histedit.h": ["src/cli/editor.c"],
    # Instruction sets: one file each, and what reads the processor's features and modes.
    "immintrin.h": ["src/*/*_avx2.c", "src/*/*_avx512.c"],
    "arm_neon.h": ["src/*/*_neon.c"],
    "cpuid.h": ["src/compute/cpu.c"],
    "xmmintrin.h": ["src/compute/cpu.c", "src/compute/team.c"],
    "pmmintrin.h": ["src/compute/cpu.c", "src/compute/team.c"],
}

# Calls -> the files that may make them, and what others do instead.
CALLS = [
    (r"uv_loop_init|uv_run|uv_default_loop|uv_loop_new", ["src/runtime/loop.c"],
     "the process has one loop: use the shared runtime"),
    (r"malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|free", ["src/base/mem.c"],
     "the heap is base/mem.h"),
    (r"strdup|strndup|asprintf|vasprintf|getline|getdelim|realpath|open_memstream", [],
     "it allocates past base/mem.h: use base/str.h and base/file.h"),
    (r"abort|exit|_exit|_Exit|quick_exit", ["src/cli/main.c"],
     "nothing ends the process: return a status"),
    (r"gets|strcpy|strcat|sprintf|vsprintf|strtok|gmtime|localtime|strerror|system|popen", [],
     "it is unbounded, not thread-safe, or starts a shell"),
]

# The C library, POSIX and Linux.
SYSTEM = re.compile(
    r"(assert|complex|ctype|errno|fenv|float|inttypes|limits|locale|math|setjmp|signal|stdalign|"
    r"stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|time|uchar|"
    r"wchar|dirent|dlfcn|fcntl|getopt|glob|libgen|netdb|poll|pthread|pwd|sched|semaphore|spawn|"
    r"termios|unistd|malloc|(arpa|linux|netinet|sys)/\w+)\.h")


def matches(path, patterns):
    return any(fnmatch.fnmatch(str(path), pattern) for pattern in patterns)


def door_of(name):
    for pattern, files in HEADERS.items():
        if fnmatch.fnmatch(name, pattern):
            return files
    return None


def check_includes(gate, path, text):
    for line, bracket, name in includes(text):
        if bracket == '"' or name.startswith("paraphym/") or SYSTEM.fullmatch(name):
            continue
        files = door_of(name)
        if files is None:
            gate.complain(path, line, f"<{name}> has no door: name one in tools/check_doors.py")
        elif not matches(path, files):
            gate.complain(path, line, f"<{name}> is included from {', '.join(files)} alone")


def check_calls(gate, path, text):
    clean = without_comments(text, strings=False)
    for names, files, instead in CALLS:
        if matches(path, files):
            continue
        for match in re.finditer(rf"(?<![\w.>])({names})\s*\(", clean):
            line = clean.count("\n", 0, match.start()) + 1
            gate.complain(path, line, f"{match.group(1)}() is not called here: {instead}")


def check_test(gate, path, text):
    """Tests may use what they like, but never make a loop of their own."""
    if path.parts[:2] == ("tests", "runtime"):
        return
    for line, _, name in includes(text):
        if name == "uv.h":
            gate.complain(path, line, "<uv.h> belongs to the runtime and its tests")


def main():
    gate = Gate(__doc__)
    for path in gate.c_files("src", "include"):
        text = gate.read(path)
        check_includes(gate, path, text)
        check_calls(gate, path, text)
    for path in gate.c_files("tests", "bench"):
        check_test(gate, path, gate.read(path))
    gate.finish()


if __name__ == "__main__":
    main()
