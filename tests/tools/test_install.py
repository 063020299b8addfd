"""What is installed serves a stranger: headers, pkg-config file, shared and static library.

Installs the build into a temporary place, then compiles programs against nothing but that: one of
its own, and the first C example of the README.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tap

BUILD, COMPILER = sys.argv[1], sys.argv[2:]
README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
OPTIONS = json.loads(pathlib.Path(BUILD, "meson-info/intro-buildoptions.json").read_text())
SANITIZERS = next(option["value"] for option in OPTIONS if option["name"] == "b_sanitize")

PROGRAM = """
#include <paraphym/status.h>
#include <stdio.h>
int main(void) { puts(pph_status_text(PPH_NOT_FOUND)); return 0; }
"""


class Installed:
    """A place that holds an installation for as long as the `with` lasts."""

    def __enter__(self):
        self.top = pathlib.Path(tempfile.mkdtemp())
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet",
                        "--destdir", self.top], check=True, stdout=subprocess.DEVNULL)
        self.pc = next(self.top.rglob("paraphym.pc"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.top)

    def ask(self, *options):
        environment = {**os.environ, "PKG_CONFIG_PATH": str(self.pc.parent),
                       "PKG_CONFIG_SYSROOT_DIR": str(self.top)}
        return subprocess.run(["pkg-config", *options, "paraphym"], env=environment, text=True,
                              capture_output=True, check=True).stdout.split()

    def build(self, source, flags):
        program = self.top / "program"
        sanitize = [] if SANITIZERS == "none" else [f"-fsanitize={SANITIZERS}"]
        done = subprocess.run([*COMPILER, *sanitize, "-Wall", "-Werror", "-x", "c", "-", "-x", "none",
                               "-o", program, *flags], input=source, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return program


def test_a_program_links_with_the_shared_library():
    with Installed() as place:
        program = place.build(PROGRAM, place.ask("--cflags", "--libs"))
        environment = {**os.environ, "LD_LIBRARY_PATH": str(place.pc.parent.parent)}
        said = subprocess.run([program], env=environment, text=True, capture_output=True,
                              check=True).stdout
        assert said == "not found\n", said
        needed = subprocess.run(["readelf", "-d", program], text=True, capture_output=True).stdout
        assert "libparaphym.so.0" in needed, needed


def test_a_program_links_with_the_static_library():
    with Installed() as place:
        # Not `pkg-config --static`: Debian's libcurl names libraries there that nobody need have.
        fields = dict(re.findall(r"^([\w.]+): (.*)$", place.pc.read_text(), re.M))
        others = subprocess.run(["pkg-config", "--libs", *fields["Requires.private"].split(", ")],
                                text=True, capture_output=True, check=True).stdout.split()
        archive = next(place.top.rglob("libparaphym.a"))
        program = place.build(PROGRAM, [*place.ask("--cflags"), str(archive), *others,
                                        *fields["Libs.private"].split()])
        assert subprocess.run([program], text=True, capture_output=True,
                              check=True).stdout == "not found\n"


def test_the_example_of_the_readme_compiles():
    example = re.search(r"```c\n(.*?)```", README.read_text(), re.S) if README.exists() else None
    if example:
        with Installed() as place:
            place.build(example.group(1), place.ask("--cflags", "--libs"))


def test_every_public_header_is_installed():
    with Installed() as place:
        headers = {path.name for path in README.parent.joinpath("include/paraphym").glob("*.h")}
        found = {path.name for path in place.top.rglob("include/paraphym/*.h")}
        assert headers == found, headers ^ found


if __name__ == "__main__":
    tap.run(sys.modules[__name__])
