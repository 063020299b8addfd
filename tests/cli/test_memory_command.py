"""paraphym memory from outside: what is remembered is found by another process, in words, by meaning and by
picture; every filter narrows; wrong usage is told before anything is touched.

    test_memory_command.py PARAPHYM SOURCE_ROOT
"""

import base64
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

COMMAND, ROOT = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
EXAMPLES = ROOT / "models" / "tiny" / "examples"
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import tap  # noqa: E402
from byte_model import write_tensors, write_tokenizer  # noqa: E402


class Memory:
    """A store in a folder of its own, and the command on it."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.store = self.path / "memory.db"
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def run(self, *arguments, stdin=b"", status=0, **variables):
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(("PARAPHYM_", "XDG_")) and not k.lower().endswith("_proxy")}
        environment |= {"HF_HUB_CACHE": "/no/such/cache", "PARAPHYM_STORE": str(self.store)}
        environment |= {k: str(v) for k, v in variables.items()}
        done = subprocess.run([str(COMMAND), "memory", *map(str, arguments)], input=stdin,
                              capture_output=True, env=environment, timeout=120)
        assert done.returncode == status, f"{arguments}: {done.returncode} {done.stderr.decode()}"
        return done

    def lines(self, *arguments, **options):
        done = self.run(arguments[0], "--json", *arguments[1:], **options)
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def add(self, *arguments, **options):
        return [line["id"] for line in self.lines("add", *arguments, **options)]

    def texts(self, *arguments):
        return [line.get("text") for line in self.lines(*arguments)]

    def fails(self, *arguments, says, status=1, **options):
        said = self.run(*arguments, status=status, **options).stderr.decode()
        assert "paraphym: " in said, said
        for word in says if isinstance(says, (list, tuple)) else [says]:
            assert word in said, f"{word!r} is not in {said!r}"


def test_what_is_added_is_found():
    with Memory() as memory:
        first, second = memory.add("Anna has a red ball.", "The key is in the kitchen.")
        picture, = memory.add(EXAMPLES / "red-circle.png", "--tag", "drawn")
        hits = memory.lines("search", "Who has a red ball?")
        assert hits[0]["id"] == first and hits[0]["words_rank"] == 1 and 0 < hits[0]["score"] <= 1
        assert memory.lines("search", "--without", "words", "a red circle", "--tag", "drawn")[0]["id"] == picture
        near = memory.lines("search", EXAMPLES / "red-circle.png")[0]
        assert near["id"] == picture and near["cosine"] > 0.999
        assert memory.lines("search", "--text", "kitchen", "--picture", EXAMPLES / "red-circle.png", "-n", 5)
        assert memory.lines("search", "-", stdin=b"where is the key\n")[0]["id"] == second
        assert "Anna has a red ball." in memory.run("search", "ball").stdout.decode()
        word, = memory.lines("search", "--without", "vectors", "kitchen")
        assert word["id"] == second and word["cosine_rank"] == 0
        assert memory.lines("search", "--without", "vectors", "nothing like it") == []


def test_standard_input_is_a_memory_a_line():
    with Memory() as memory:
        ids = memory.add("--text", "-", stdin=b"one\n\ntwo\r\nthree")
        assert len(ids) == 3 and set(memory.texts("list")) == {"one", "two", "three"}
        whole, = memory.add("-", stdin=b"a text\nof two lines\n")
        assert memory.lines("show", whole)[0]["text"] == "a text\nof two lines"
        again = memory.lines("add", "one")[0]
        assert again["merged"] and again["id"] in ids
        assert memory.lines("show", again["id"])[0]["importance"] > 0.54
        many = "\n".join(f"fact number {i}" for i in range(600)).encode()
        assert len(memory.add("--text", "-", stdin=many)) == 600


def test_pictures_are_kept_or_linked():
    with Memory() as memory:
        content = (EXAMPLES / "red-circle.png").read_bytes()
        kept, = memory.add(EXAMPLES / "red-circle.png")
        assert memory.run("show", kept, "--picture", "-").stdout == content
        memory.run("show", kept, "--picture", memory.path / "back.png")
        assert (memory.path / "back.png").read_bytes() == content
        both, = memory.add("what I drew", "--picture", EXAMPLES / "hearts.gif")
        shown = memory.lines("show", both)[0]
        assert shown["text"] == "what I drew" and shown["picture"].endswith("hearts.gif") and shown["picture_bytes"]
        linked, = memory.add("--link", EXAMPLES / "diamond.webp")
        shown = memory.lines("show", linked)[0]
        assert pathlib.Path(shown["picture"]).is_absolute() and "picture_bytes" not in shown
        data = "data:image/gif;base64," + base64.b64encode((EXAMPLES / "purple-ring.gif").read_bytes()).decode()
        address, = memory.add(data)
        assert "picture" not in memory.lines("show", address)[0]
        piped, = memory.add("-", stdin=(EXAMPLES / "blue-star.png").read_bytes())
        assert memory.lines("search", EXAMPLES / "blue-star.png")[0]["id"] == piped
        memory.fails("show", linked, "--picture", "-", says="no picture")
        memory.fails("add", memory.path / "missing.png", says="missing.png")
        memory.fails("add", "x", "--picture", "no such", says="no such")
        (memory.path / "broken.png").write_bytes(b"\x89PNG and nothing")
        assert "without its vector" in memory.run("add", memory.path / "broken.png").stderr.decode()


def test_filters_narrow():
    with Memory() as memory:
        memory.add("a", "--kind", "procedural", "--importance", "0.9", "--tag", "x", "--tag", "y", "--user", "ann")
        memory.add("b", "--kind", "episodic", "--status", "success", "--quality", "0.7", "--source", "book")
        memory.add("c", "--importance", "0.1", "--agent", "bot", "--metadata", '{"page": 3}')
        for wanted, arguments in (("a", ["--kind", "procedural"]), ("ab", ["--kind", "procedural", "--kind", "episodic"]),
                                  ("b", ["--status", "success"]), ("ac", ["--status", "pending"]), ("a", ["--user", "ann"]),
                                  ("c", ["--agent", "bot"]), ("b", ["--source", "book"]), ("a", ["--tag", "x", "--tag", "y"]),
                                  ("a", ["--importance", "0.6"]), ("b", ["--quality", "0.5"]), ("abc", ["--since", "1h"]),
                                  ("", ["--until", "2020-01-01"]), ("abc", ["--since", "2020-01-01T10:00"])):
            found = "".join(sorted(memory.texts("list", *arguments)))
            assert found == wanted, (arguments, found)
            found = "".join(sorted(memory.texts("search", "--text", "a b c", *arguments)))
            assert found == wanted, (arguments, found)
        assert memory.texts("list", "--order", "oldest", "-n", "1", "--offset", "1") == ["b"]
        assert memory.texts("list", "--order", "important")[0] == "a"
        assert memory.lines("list", "--agent", "bot")[0]["metadata"] == {"page": 3}
        stats = memory.lines("stats")[0]
        assert stats["memories"] == 3 and stats["procedural"] == 1 and stats["success"] == 1 and stats["bytes"] > 0


def test_a_memory_is_changed_and_forgotten():
    with Memory() as memory:
        one, two = memory.add("the old text", "another")
        memory.run("update", one, "--text", "the new text", "--kind", "working", "--importance", "0.25", "--tag", "t",
                   "--quality", "1", "--metadata", "{}")
        shown = memory.lines("show", one)[0]
        assert (shown["text"], shown["kind"], shown["importance"], shown["tags"], shown["quality"]) == \
            ("the new text", "working", 0.25, ["t"], 1)
        memory.run("update", one, "--no-tags")
        assert "tags" not in memory.lines("show", one)[0]
        memory.run("relate", one, two, "--kind", "explains", "--strength", "0.5")
        edge, = memory.lines("show", two)[0]["relations"]
        assert (edge["from"], edge["to"], edge["kind"], edge["strength"]) == (one, two, "explains", 0.5)
        assert "explains" in memory.run("show", one).stdout.decode()
        memory.run("relate", one, two, "--remove")
        assert memory.lines("show", two)[0]["relations"] == []
        memory.fails("relate", one, two, "--remove", says="no such relation")
        memory.run("delete", one)
        memory.fails("show", one, says=one)
        assert memory.texts("list") == ["another"]
        report = memory.lines("verify")[0]
        assert report["problems"] == 0 and report["memories"] == 1


def test_ids_may_be_cut():
    with Memory() as memory:
        one, two = memory.add("one", "two")
        length = next(n for n in range(1, 37) if one[:n] != two[:n] and one[n - 1] != "-")
        assert memory.lines("show", one[:length])[0]["id"] == one
        assert memory.lines("show", two.replace("-", ""))[0]["id"] == two
        memory.fails("show", one[:8], says="several")
        memory.fails("show", "ffff", says="ffff")
        memory.fails("show", "xyz", says="xyz")
        done = memory.run("show", "--json", "ffff", one, status=1)
        assert json.loads(done.stdout)["id"] == one


def test_export_and_import():
    with Memory() as memory, Memory() as other:
        one, two = memory.add("one", EXAMPLES / "hearts.gif")
        memory.run("relate", one, two)
        written = memory.path / "all.jsonl"
        assert memory.lines("export", written)[0]["exported"] == 2
        assert memory.run("export", "-").stdout == written.read_bytes()
        assert list(memory.path.glob("*.??????")) == []
        assert other.lines("import", written)[0] == {"imported": 2, "vectors": 2}
        assert other.lines("show", two)[0]["relations"][0]["from"] == one
        assert other.run("export", "-").stdout == written.read_bytes()
        assert other.lines("import", "-", stdin=written.read_bytes())[0]["imported"] == 0
        other.run("delete", one)
        assert other.lines("import", "--no-vectors", "-", stdin=written.read_bytes())[0]["imported"] == 1
        assert other.lines("reembed")[0]["vectors"] == 1
        assert other.lines("reembed", "--again")[0]["vectors"] == 2
        other.fails("import", "-", stdin=b'{"memory":{}}\n', says="line 1")
        other.fails("import", other.path / "missing", says="missing")
        assert memory.lines("export", written, "--kind", "working")[0]["exported"] == 0


def test_places_and_models():
    with Memory() as memory:
        memory.run("add", "here", PARAPHYM_STORE="", XDG_DATA_HOME=memory.path / "data")
        made = memory.path / "data" / "paraphym" / "memory.db"
        assert made.exists() and made.parent.stat().st_mode & 0o777 == 0o700
        assert memory.texts("list", "--store", made) == ["here"]
        memory.run("add", "at home", PARAPHYM_STORE="", HOME=memory.path)
        assert (memory.path / ".local/share/paraphym/memory.db").exists()
        memory.fails("add", "x", says="HOME", PARAPHYM_STORE="", HOME="", XDG_DATA_HOME="relative")
        memory.fails("add", "x", "--store", "", says="--store")
        memory.fails("add", "x", "--store", memory.path / "no" / "such" / "file", says="such")
        (memory.path / "other").write_bytes(b"not a database at all, but long enough to be looked at" * 20)
        memory.fails("list", "--store", memory.path / "other", says="other")
        memory.fails("add", "x", "--embedding-model", "no/such", says="no/such")
        assert "--embedding-model" in memory.run("add", "x").stderr.decode()
        model = ROOT / "models" / "tiny"
        assert memory.run("search", "x", "--embedding-model", model).stderr == b""


def judge(folder, says):
    """A decoder that always answers this: each token follows from the one before it alone. Tokens are bytes."""
    width, vocabulary = 264, 258  # one number a token
    chain = ["\n", *says]
    after = dict(zip(map(ord, chain), [*map(ord, says), 257]))
    assert len(after) == len(chain), "a byte occurs twice"
    zeros = {f"model.layers.0.self_attn.{p}_proj.weight": (width, width) for p in "qkvo"}
    zeros |= {f"model.layers.0.mlp.{p}_proj.weight": (8, width) for p in ("gate", "up")}
    zeros |= {"model.layers.0.mlp.down_proj.weight": (width, 8)}
    norms = ["model.norm.weight", "model.layers.0.input_layernorm.weight",
             "model.layers.0.post_attention_layernorm.weight"]
    tensors = {name: (shape, bytes(4 * math.prod(shape))) for name, shape in zeros.items()}
    tensors |= {name: ((width,), struct.pack("<f", 1) * width) for name in norms}
    rows = [[float(i == j) for j in range(width)] for i in range(vocabulary)]
    tensors["model.embed_tokens.weight"] = ((vocabulary, width), b"".join(struct.pack(f"<{width}f", *r) for r in rows))
    rows = [[10.0 * (after.get(j) == i) for j in range(width)] for i in range(vocabulary)]
    tensors["lm_head.weight"] = ((vocabulary, width), b"".join(struct.pack(f"<{width}f", *r) for r in rows))
    folder.mkdir()
    write_tensors(folder, tensors)
    (folder / "config.json").write_text(json.dumps(
        {"model_type": "llama", "hidden_size": width, "num_attention_heads": 4, "intermediate_size": 8,
         "num_hidden_layers": 1, "vocab_size": vocabulary, "max_position_embeddings": 2048, "eos_token_id": 257}))
    write_tokenizer(folder)
    return folder


def test_a_committee_judges():
    with Memory() as memory:
        high, low = judge(memory.path / "high", "0.9"), judge(memory.path / "low", ".5")
        babbler = judge(memory.path / "babbler", "I say")
        one, two = memory.add("a red circle", "a red circle at the top")
        told = memory.lines("judge", "--judge", high, "--judge", low, "--template", "chatml", "--plain")
        assert sorted(line["id"] for line in told) == sorted([one, two])
        for line in told:
            assert line["status"] == "success" and abs(line["quality"] - 0.7) < 1e-9, line
            assert abs(line["agreement"] - 0.6) < 1e-9 and line["method"] == "judge1+judge2", line
            assert [j["relevance"] for j in line["judges"]] == [0.9, 0.5]
        shown = memory.lines("show", one)[0]
        assert shown["status"] == "success" and shown["quality"] == 0.7 and shown["evaluation"]["agreement"] == 0.6
        assert "judge1+judge2" in memory.run("show", one).stdout.decode()
        edge, = shown["relations"]
        assert {edge["from"], edge["to"]} == {one, two} and edge["strength"] >= 0.7
        assert memory.texts("list", "--quality", "0.8") == []
        assert memory.run("judge", "-m", high, "--template", "chatml").stdout == b"0 judged, 0 failed, 0 relations\n"
        third, = memory.add("The key is in the kitchen.")
        told, = memory.lines("judge", "-m", babbler, "--template", "chatml", "--persona", "strict=Be strict.", status=1)
        assert told["status"] == "failed" and told["method"] == "strict" and "I say" in told["error"]
        assert memory.lines("show", third)[0]["status"] == "failed"
        memory.run("update", third, "--status", "pending")
        said = memory.run("judge", "-m", high, "--template", "chatml").stdout.decode()
        assert "editor 0.90, archivist 0.90, reader 0.90" in said and "1 judged, 0 failed" in said, said
        memory.add("something pending")
        told, = memory.lines("judge")  # by the built-in model, as nobody in particular
        assert told["status"] == "success" and told["method"] == "judge" and 0 <= told["quality"] <= 1, told
        memory.add("something pending again")
        memory.fails("judge", "-m", "no/such", says="no/such")
        memory.fails("judge", "word", says="word", status=2)
        memory.fails("judge", "--persona", "nobody", says="--persona", status=2)
        memory.fails("judge", "--quorum", "none", says="--quorum", status=2)


def test_wrong_usage_is_status_2():
    with Memory() as memory:
        memory.fails(says="action", status=2)
        memory.fails("paint", says="paint", status=2)
        memory.fails("add", says="nothing to remember", status=2)
        memory.fails("add", "a", "b", "--picture", "p", says="--picture", status=2)
        memory.fails("search", says="nothing to look for", status=2)
        memory.fails("search", "two", "words", says="words", status=2)
        memory.fails("search", "x", "--without", "luck", says="luck", status=2)
        memory.fails("update", "abc", says="change", status=2)
        memory.fails("delete", says="ids", status=2)
        memory.fails("relate", "a", says="two memories", status=2)
        memory.fails("export", says="file", status=2)
        memory.fails("list", "--order", "random", says="random", status=2)
        memory.fails("list", "word", says="word", status=2)
        for option, values in {"--importance": ["", "x", "1.5", "-1", "nan", "0x1", "1e-1", "0.5 ", "."],
                               "--limit": ["0", "x", "1.5", "99999999999999999999"],
                               "--since": ["yesterday", "2026-13-01", "5y", "2026-01-01 "],
                               "--kind": ["nice"], "--status": ["done"]}.items():
            for value in values:
                memory.fails("list", option, value, says=option, status=2)
        memory.fails("relate", "a", "b", "--strength", "2", says="--strength", status=2)
        assert not memory.store.exists()
        for action in ("add", "search", "list", "show", "update", "delete", "relate", "export", "import", "stats",
                       "verify", "reembed", "judge"):
            assert f"memory {action}" in memory.run(action, "--help").stdout.decode()
        assert "reembed" in memory.run("--help").stdout.decode()


tap.run(sys.modules[__name__])
