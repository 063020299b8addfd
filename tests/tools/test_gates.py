"""Every gate bites: each small tree here breaks one rule, and the gate that owns it must say so."""

import pathlib
import subprocess
import sys
import tempfile

import tap

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


def run_gate(gate, files):
    """(status, what it said) of a gate over a tree of the given files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        tool = TOOLS / gate
        command = [sys.executable, tool] if tool.suffix == ".py" else [tool]
        done = subprocess.run([*command, "--root", folder], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


def refuses(gate, files, *said):
    status, output = run_gate(gate, files)
    assert status == 1 or (gate == "check_format" and status != 0), (status, output)
    for words in said:
        assert words in output, (words, output)


def accepts(gate, files):
    status, output = run_gate(gate, files)
    assert (status, output) == (0, ""), (status, output)


def layers(path, include, **others):
    files = {path: f"#include {include}\n", "src/base/str.h": "", "src/pool/job.h": "",
             "src/runtime/loop.h": "", "src/compute/cpu.h": "", "src/image/png.h": "",
             "include/paraphym/job.h": "", "include/paraphym/status.h": ""}
    return {**files, **others}


def test_layers_refuse_an_upward_include():
    refuses("check_layers.py", layers("src/base/a.c", '"pool/job.h"'), "src/base/a.c:1:", "base/")


def test_layers_refuse_a_sideways_include():
    refuses("check_layers.py", layers("src/runtime/a.c", '"compute/cpu.h"'), "runtime/")
    refuses("check_layers.py", layers("src/text/a.c", '"image/png.h"'), "text/")
    refuses("check_layers.py", layers("src/model/a.c", '"runtime/loop.h"'), "model/")


def test_layers_refuse_an_upward_public_header():
    refuses("check_layers.py", layers("src/base/a.c", "<paraphym/job.h>"), "which pool/ implements")


def test_layers_refuse_an_upward_include_in_a_test():
    refuses("check_layers.py", layers("tests/base/test_a.c", '"pool/job.h"'), "tests/base/test_a.c")


def test_layers_refuse_a_path_that_is_not_room_and_file():
    refuses("check_layers.py", layers("src/base/a.c", '"str.h"'), "room/file.h")
    refuses("check_layers.py", layers("src/pool/a.c", '"../base/str.h"'), "room/file.h")


def test_layers_refuse_an_unknown_room():
    refuses("check_layers.py", {"src/attic/a.c": ""}, "no room")


def test_layers_refuse_a_private_header_in_a_public_one():
    refuses("check_layers.py", layers("include/paraphym/a.h", '"base/str.h"'), "public header")
    refuses("check_layers.py", layers("include/paraphym/a.h", "<uv.h>"), "public header")


def test_layers_see_an_include_in_any_spelling():
    refuses("check_layers.py", {**layers("src/base/a.c", '"base/str.h"'),
                                "src/base/b.c": '/* a */ int x;\n  #  include   "pool/job.h"\n'},
            "src/base/b.c:2:")


def test_layers_accept_what_points_down():
    accepts("check_layers.py", layers("src/pool/a.c", '"base/str.h"'))
    accepts("check_layers.py", layers("src/pool/a.c", "<paraphym/job.h>"))
    accepts("check_layers.py", layers("include/paraphym/a.h", "<paraphym/status.h>"))
    accepts("check_layers.py", {**layers("src/base/a.c", '"base/str.h"'),
                                "src/base/b.c": '/*\n#include "pool/job.h"\n*/\n'})


def test_doors_refuse_a_foreign_header_elsewhere():
    refuses("check_doors.py", {"src/pool/a.c": "#include <uv.h>\n"}, "src/pool/a.c:1:", "<uv.h>")
    refuses("check_doors.py", {"src/image/a.c": "#include <webp/decode.h>\n"}, "webp.c")
    refuses("check_doors.py", {"src/base/a.h": "#include <jansson.h>\n"}, "json.c")
    refuses("check_doors.py", {"tests/pool/test_a.c": "#include <uv.h>\n"}, "runtime")


def test_doors_refuse_a_header_that_nobody_owns():
    refuses("check_doors.py", {"src/base/a.c": "#include <openssl/ssl.h>\n"}, "no door")


def test_doors_refuse_a_second_loop():
    refuses("check_doors.py", {"src/runtime/fetch.c": "void f(void)\n{\n    uv_run(l, 0);\n}\n"},
            "src/runtime/fetch.c:3:", "uv_run")


def test_doors_refuse_the_plain_heap():
    for call in ("malloc(1)", "calloc(1, 1)", "realloc(p, 1)", "free(p)", "strdup(s)"):
        refuses("check_doors.py", {"src/pool/a.c": f"int x = {call};\n"}, call.split("(")[0])


def test_doors_refuse_ending_the_process():
    for call in ("abort()", "exit(1)", "_exit(1)"):
        refuses("check_doors.py", {"src/pool/a.c": f"int x = {call};\n"}, "status")


def test_doors_accept_the_door_and_words_that_only_look_alike():
    accepts("check_doors.py", {
        "src/runtime/loop.c": "#include <uv.h>\nint x = uv_run(l, 0);\n",
        "src/base/mem.c": "#include <stdlib.h>\nint x = free(p);\n",
        "src/image/webp.c": "#include <webp/decode.h>\n#include <sys/mman.h>\n",
        "src/pool/a.c": '/* malloc(1) */ char *s = "free(p)"; int y = pph_free(p) + x->free(p);\n'})


def function(lines, name="long_one"):
    return f"int {name}(int x)\n{{\n" + "    x++;\n" * (lines - 3) + "}\n"


def test_size_refuses_a_long_function():
    refuses("check_size.py", {"src/base/a.c": function(80)}, "src/base/a.c:1:", "long_one", "80")
    refuses("check_size.py", {"src/base/a.c": function(10, "f") + "\nstatic " + function(95)},
            "src/base/a.c:12:", "95")


def test_size_refuses_a_long_function_whatever_stands_in_it():
    body = ('    if (x == \'{\') { puts("}"); } /* } */ // }\n'
            "#if A\n    while (x) {\n#else\n    for (;;) {\n#endif\n    }\n")
    long_one = "void *odd(int (*f)(int), char *s)\n{\n" + body + "    x++;\n" * 75 + "}\n"
    refuses("check_size.py", {"src/base/a.c": "#define BEGIN {\nint a[] = {1, 2};\n" + long_one},
            "src/base/a.c:3:", "odd")


def test_size_refuses_a_long_function_in_extern_c():
    refuses("check_size.py", {"src/base/a.h": 'extern "C" {\nstatic inline ' + function(81) + "}\n"},
            "src/base/a.h:2:")


def test_size_refuses_a_long_file():
    refuses("check_size.py", {"src/base/a.c": "int x;\n" * 800}, "800 lines")


def test_size_accepts_tables_and_what_is_just_short_enough():
    accepts("check_size.py", {
        "src/base/a.c": function(79),
        "src/base/b.c": "int x;\n" * 799,
        "src/base/c.c": "static const int table[] = {\n" + "    1,\n" * 400 + "};\n",
        "src/base/d.c": "/* Generated by tools/make. */\n" + "int x;\n" * 2000})


def test_wired_refuses_a_forgotten_file():
    refuses("check_wired.py", {"src/base/a.c": "", "src/base/meson.build": "x = ['b.c']\n"}, "a.c:1:")
    refuses("check_wired.py", {"tests/base/test_a.c": ""}, "nothing compiles it")


def test_wired_accepts_the_ways_to_name_a_file():
    accepts("check_wired.py", {
        "src/base/a.c": "", "src/base/x_y_avx2.c": "",
        "src/base/meson.build": "files('a.c')\nforeach s : ['avx2']\n  files('x_y_' + s + '.c')\n",
        "tests/base/test_a_b.c": "",
        "tests/base/meson.build": "foreach n : ['a_b']\n  files('test_' + n + '.c')\n"})


def test_words_refuse_machine_paths_and_open_ends():
    # Put together here, so that this file does not hold what it is about.
    for place in "root", "work":
        refuses("check_words.py", {"README.md": "see /" + place + "/x\n"}, "README.md:1:")
    refuses("check_words.py", {"src/base/a.c": "\n// TODO: later\n"}, "src/base/a.c:2:")
    accepts("check_words.py", {"a.md": "TODO(ann): /usr/share/x XXXXXX\n"})


def test_format_refuses_another_layout():
    style = (TOOLS.parent / ".clang-format").read_text()
    refuses("check_format", {".clang-format": style, "src/base/a.c": "int  x ;\n"}, "a.c:1:")
    accepts("check_format", {".clang-format": style, "src/base/a.c": "int x;\n"})


def test_a_step_names_all_that_it_looked_at():
    with tempfile.TemporaryDirectory() as folder:
        top = pathlib.Path(folder)
        (top / "src/base").mkdir(parents=True)
        (top / "src/base/a.c").write_text("int x;\n")
        subprocess.run([sys.executable, TOOLS / "check_layers.py", "--root", folder, "--stamp",
                        top / "x.stamp", "--depfile", top / "x.d"], check=True)
        assert (top / "x.stamp").exists()
        listed = (top / "x.d").read_text()
        assert f"{folder}/src/base/a.c" in listed and f"{folder}/src/base " in listed, listed


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
