"""paraphym index and search: a folder's pictures are found by what they show, only what changed is looked at
again, what has gone is forgotten, and what cannot be read is told of and stands in nobody's way.

    test_index.py PARAPHYM SOURCE_ROOT
"""

import json
import os
import pathlib
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

COMMAND, ROOT = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
EXAMPLES = ROOT / "models" / "tiny" / "examples"
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import tap  # noqa: E402


class Album:
    """A folder of pictures, and a store beside it."""

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp()).resolve()
        self.folder = self.root / "pictures"
        self.folder.mkdir()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root)

    def put(self, name, example):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLES / example, path)
        return path

    def environment(self):
        kept = {k: v for k, v in os.environ.items()
                if not k.startswith(("PARAPHYM_", "XDG_")) and not k.lower().endswith("_proxy")}
        return kept | {"HF_HUB_CACHE": "/no/such/cache", "PARAPHYM_STORE": str(self.root / "m.db")}

    def run(self, *arguments, status=0):
        done = subprocess.run([str(COMMAND), *map(str, arguments)], capture_output=True,
                              env=self.environment(), timeout=120)
        assert done.returncode == status, f"{arguments}: {done.returncode} {done.stderr.decode()}"
        return done

    def fails(self, *arguments, says, status=1):
        said = self.run(*arguments, status=status).stderr.decode()
        assert says in said, f"{says!r} is not in {said!r}"

    def index(self, status=0, **expected):
        """Index, and hold the numbers that are not 0 against those expected."""
        done = self.run("index", "--json", self.folder, status=status)
        said = json.loads(done.stdout)
        numbers = {k: v for k, v in said.items() if k not in ("folder", "pictures") and v}
        assert numbers == expected, f"{numbers}, not {expected}"
        verified = self.run("memory", "verify", "--json").stdout.decode()
        assert json.loads(verified)["problems"] == 0, verified
        return done

    def search(self, *arguments):
        done = self.run("search", "--json", *arguments)
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def best(self, *arguments):
        return os.path.relpath(self.search(*arguments)[0]["picture"], self.folder)


def test_found_by_what_they_show():
    with Album() as album:
        album.put("one.png", "red-circle.png")
        album.put("deep/er/two.PNG", "blue-star.png")
        album.put("three.png", "heart-and-ring.png")
        album.put(".hidden/four.png", "red-circle.png")
        (album.folder / "notes.txt").write_text("no picture")
        os.symlink(album.folder, album.folder / "circle")
        album.index(added=3)
        assert album.best("a red circle") == "one.png"
        assert album.best("a small blue star at the top") == "deep/er/two.PNG"
        assert album.best(EXAMPLES / "heart-and-ring.png") == "three.png"
        assert len(album.search("-k", "2", "a red circle")) == 2
        # Texts are found beside them.
        album.run("memory", "add", "the red circle is a road sign")
        found = album.search("red circle sign")
        assert {"text", "picture"} <= {k for hit in found for k in hit}
        assert all("picture" in hit for hit in album.search("--pictures", "red circle sign"))
        assert all("text" in hit for hit in album.search("--texts", "red circle sign"))
        said = album.run("search", "a red circle").stdout.decode()
        assert str(album.folder / "one.png") in said
        # Nothing of that counts as recalled.
        assert all(hit["recalls"] == 0 for hit in album.search("a red circle"))


def test_only_what_changed():
    with Album() as album:
        one = album.put("one.png", "red-circle.png")
        two = album.put("two.png", "blue-star.png")
        album.put("three.jpg", "cross-and-square.jpg")
        album.index(added=3)
        album.index(unchanged=3)
        ids = {hit["picture"]: hit["id"] for hit in album.search("anything")}
        os.utime(one, (1, 1))  # another time alone is no other picture
        album.index(unchanged=3)
        assert {hit["picture"]: hit["id"] for hit in album.search("anything")} == ids
        shutil.copy(EXAMPLES / "heart-and-ring.png", one)
        two.unlink()
        album.index(changed=1, unchanged=1, removed=1)
        assert album.best(EXAMPLES / "heart-and-ring.png") == "one.png"
        assert len(album.search("anything")) == 2
        # What stands outside the folder is not its business.
        other = album.root / "pictures2"
        other.mkdir()
        shutil.copy(EXAMPLES / "red-circle.png", other / "five.png")
        album.run("index", other)
        album.index(unchanged=2)
        assert len(album.search("anything")) == 3


def test_the_same_twice():
    with Album() as album:
        one = album.put("one.png", "red-circle.png")
        two = album.put("two.png", "red-circle.png")
        album.index(added=1, duplicates=1)
        album.index(unchanged=1, duplicates=1)
        one.unlink()  # the other stays, and is found
        album.index(added=1, removed=1)
        assert album.best("a red circle") == "two.png"
        # Two that change places, and one that takes the content of one that changes.
        album.put("one.png", "blue-star.png")
        album.index(added=1, unchanged=1)
        three = two.read_bytes()
        two.write_bytes(one.read_bytes())
        one.write_bytes(three)
        for path in (one, two):
            os.utime(path, (5, 5))
        album.index(changed=2)
        assert album.best("a red circle") == "one.png" and len(album.search("anything")) == 2
        (album.folder / "a-first.png").write_bytes(one.read_bytes())
        album.put("one.png", "heart-and-ring.png")
        album.index(added=1, changed=1, unchanged=1)
        assert album.best("a red circle") == "a-first.png" and len(album.search("anything")) == 3


def test_what_cannot_be_read():
    with Album() as album:
        album.put("one.png", "red-circle.png")
        (album.folder / "bad.png").write_bytes(b"no picture")
        (album.folder / "empty.jpg").write_bytes(b"")
        (album.folder / "cut.png").write_bytes((EXAMPLES / "blue-star.png").read_bytes()[:300])
        done = album.index(status=1, added=1, failed=3)
        said = done.stderr.decode()
        for name in ("bad.png", "empty.jpg", "cut.png"):
            assert str(album.folder / name) in said, said
        album.index(status=1, unchanged=1, failed=3)
        assert len(album.search("anything")) == 1
        album.fails("index", album.root / "nowhere", says="there is no such folder")
        album.fails("index", album.folder / "one.png", says="there is no such folder")
        album.fails("index", says="which folder", status=2)
        album.fails("index", album.folder, album.folder, says="one folder at a time", status=2)
        album.fails("search", says="nothing to look for", status=2)
        album.fails("search", "two", "words", says="one word too many", status=2)
        album.fails("search", "-k", "0", "x", says="--limit", status=2)
        album.fails("search", album.folder / "bad.png", says="no picture that can be read")
        album.fails("search", album.root / "nowhere.png", says="nowhere.png")
        assert album.run("search", "red").returncode == 0


def test_thumbnails():
    with Album() as album:
        album.put("one.png", "red-circle.png")
        album.index(added=1)
        with sqlite3.connect(album.root / "m.db") as store:
            (thumbnail, kept), = store.execute(
                "SELECT t.bytes, (SELECT count(*) FROM pictures) FROM thumbnails t").fetchall()
        assert thumbnail[:2] == b"\xff\xd8" and kept == 0


def test_stopped_and_gone_on_with():
    tap.need_terminals()
    with Album() as album:
        names = [p.name for p in sorted(EXAMPLES.iterdir()) if p.suffix in (".png", ".jpg")]
        for i in range(1500):
            path = album.put(f"{i:04}.png", names[i % len(names)])
            with open(path, "ab") as file:  # each another file, of the same pixels
                file.write(b"%d" % i)
        ours, theirs = pty.openpty()
        running = subprocess.Popen([str(COMMAND), "index", str(album.folder)], stderr=theirs,
                                   stdout=subprocess.PIPE, env=album.environment())
        os.close(theirs)
        said = b""
        try:
            while b"pictures, " not in said:  # the bar: something is stored
                said += os.read(ours, 4096)
            running.send_signal(signal.SIGINT)
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:
            pass  # the end of a terminal
        os.close(ours)
        running.communicate(timeout=60)
        stored = len(album.search("-k", "1000", "anything"))
        assert running.returncode == 1 and b"it goes on from here" in said, said[-300:]
        assert 0 < stored < 1000, stored
        album.index(added=1500 - stored, unchanged=stored)


tap.run(sys.modules[__name__])
