"""The paraphym command from outside: what it prints, and that bad input ends in a sentence and exit
status 1, never in a crash, with everything else still answered.

    test_command.py PARAPHYM SOURCE_ROOT
"""

import base64
import fcntl
import http.server
import json
import math
import os
import pathlib
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import zlib

COMMAND, ROOT = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
MODEL = ROOT / "models" / "tiny"
EXAMPLES = MODEL / "examples"
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import tap  # noqa: E402
from byte_model import language_model  # noqa: E402


def paraphym(*arguments, stdin=b"", model=MODEL, timeout=120, **variables):
    places = ("PARAPHYM_MODEL", "PARAPHYM_MODELS", "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    environment = {k: v for k, v in os.environ.items()
                   if k not in places and not k.lower().endswith("_proxy")}
    environment |= {"HF_HUB_CACHE": "/no/such/cache"} | {k: str(v) for k, v in variables.items()}
    if model:
        environment["PARAPHYM_MODEL"] = str(model)
    done = subprocess.run([str(COMMAND), *map(str, arguments)], input=stdin, capture_output=True,
                          env=environment, timeout=timeout)
    assert done.returncode in (0, 1, 2), f"{arguments}: {done.returncode} {done.stderr.decode()}"
    return done


def lines(done):
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def fails(*arguments, says, status=1, **options):
    """The command ends with this status and one sentence that holds all of these words."""
    done = paraphym(*arguments, **options)
    said = done.stderr.decode()
    assert done.returncode == status, f"{arguments}: status {done.returncode}: {said}"
    assert said.startswith("paraphym: "), said
    for word in says if isinstance(says, (list, tuple)) else [says]:
        assert word in said, f"{word!r} is not in {said!r}"
    return done


def png(width, height, pixels=b"", claim=None):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", *(claim or (width, height)), 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) +
            chunk(b"IEND", b""))


def plain_png(width=20, height=10):
    return png(width, height, (b"\0" + b"\xff\0\0" * width) * height)


class Folder:
    """A temporary folder; also a copy of the model to damage."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp())
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def file(self, name, content):
        (self.path / name).write_bytes(content)
        return self.path / name

    def model(self):
        copy = self.path / "model"
        copy.mkdir()
        for item in MODEL.iterdir():
            if item.suffix in (".json", ".safetensors", ".txt"):
                shutil.copy(item, copy)
        return copy


def damage(folder, change):
    """Rewrite the header of a model's safetensors: change(header) may edit it or give raw bytes."""
    path = folder / "model.safetensors"
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + size])
    text = change(header)
    if text is None:
        text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size:])


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/picture":
            body = (EXAMPLES / "red-circle.png").read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif self.path == "/once":
            self.send_response(302)
            self.send_header("Location", "/picture")
            self.end_headers()
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif self.path == "/text":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"this is no picture")
        elif self.path == "/big":
            self.send_response(200)
            self.send_header("Content-Length", str(10**12))
            self.end_headers()
            self.wfile.write(b"x")
            self.wfile.flush()
            self.server.released.wait(60)
        elif self.path == "/stall":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x")
            self.wfile.flush()
            self.server.released.wait(60)
        else:
            self.send_response(404)
            self.end_headers()

    def log_message(self, *_):
        pass


class Site:
    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        self.server.released = threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_):
        self.server.released.set()
        self.server.shutdown()
        self.server.server_close()


def pictures():
    return sorted(p for p in EXAMPLES.iterdir() if p.suffix != ".txt")


def test_embed_prints_a_line_per_input():
    done = paraphym("embed", EXAMPLES / "red-circle.png", "--text", "a red circle")
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    picture, text = lines(done)
    assert picture["kind"] == "image" and text["kind"] == "text"
    assert picture["input"].endswith("red-circle.png") and text["input"] == "a red circle"
    for line in picture, text:
        assert line["dimensions"] == len(line["embedding"]) > 0
        assert abs(math.sqrt(sum(x * x for x in line["embedding"])) - 1) < 1e-5


def test_embed_raw_is_not_scaled():
    scaled, = lines(paraphym("embed", "--text", "a red circle"))
    raw, = lines(paraphym("embed", "--raw", "--text", "a red circle"))
    norm = math.sqrt(sum(x * x for x in raw["embedding"]))
    assert abs(norm - 1) > 1e-3
    for a, b in zip(scaled["embedding"], raw["embedding"]):
        assert abs(a - b / norm) < 1e-5


def test_the_built_in_model_is_announced():
    done = paraphym("embed", "--text", "a red circle", model=None)
    assert done.returncode == 0 and b"built-in" in done.stderr


def test_one_bad_input_fails_alone():
    good = pictures()
    done = fails("embed", *good[:3], "/no/such/picture.png", *good[3:], says="/no/such/picture.png")
    assert [line["input"] for line in lines(done)] == [str(p) for p in good]


def test_standard_input():
    picture = EXAMPLES / "red-circle.png"
    piped, = lines(paraphym("embed", "-", stdin=picture.read_bytes()))
    named, = lines(paraphym("embed", picture))
    assert piped["embedding"] == named["embedding"] and piped["kind"] == "image"
    texts = lines(paraphym("embed", "--text", "-", stdin=b"a red circle\na blue star\n"))
    assert [t["input"] for t in texts] == ["a red circle", "a blue star"]


def test_similarity_is_the_cosine():
    picture = EXAMPLES / "red-circle.png"
    a, b = lines(paraphym("embed", picture, "--text", "a red circle"))
    dot = sum(x * y for x, y in zip(a["embedding"], b["embedding"]))
    said = float(paraphym("similarity", picture, "--text", "a red circle").stdout)
    assert abs(said - dot) < 1e-5
    pair, = lines(paraphym("similarity", "--json", picture, picture))
    assert abs(pair["similarity"] - 1) < 1e-5


def test_sentences_mean_their_pictures():
    done = paraphym("similarity", "--text", "a red circle", "--text", "two stars",
                    EXAMPLES / "red-circle.png", EXAMPLES / "two-stars.webp")
    assert done.returncode == 0
    assert b"red-circle.png" in done.stdout and b"*" in done.stdout


def test_tokenize():
    first, second = lines(paraphym("tokenize", "--json", "a red circle", "A  Red Circle"))
    assert first["ids"] == second["ids"] and first["text"] == "a red circle"
    assert len(first["ids"]) == len(first["tokens"])
    bare, = lines(paraphym("tokenize", "--json", "--no-special", "a red circle"))
    assert first["ids"][1:-1] == bare["ids"]
    alone, = lines(paraphym("tokenize", "-m", MODEL / "tokenizer.json", "--json", "a red circle"))
    assert alone["ids"] == first["ids"]


def test_inspect():
    said = json.loads(paraphym("inspect", "--json", MODEL).stdout)
    assert said["architecture"] == "clip" and said["dimensions"] > 0
    assert b"clip" in paraphym("inspect", MODEL).stdout
    fails("inspect", "/no/such/model", says="/no/such/model")


class Hub(Folder):
    """A hub cache that holds the built-in model under a name of its own, as links to blobs."""

    def entry(self, name, revision="0123abcd"):
        entry = self.path / ("models--" + name.replace("/", "--"))
        snapshot, blobs, refs = entry / "snapshots" / revision, entry / "blobs", entry / "refs"
        for folder in snapshot, blobs, refs:
            folder.mkdir(parents=True)
        (refs / "main").write_text(revision)
        for item in MODEL.iterdir():
            if item.suffix in (".json", ".safetensors", ".txt"):
                shutil.copy(item, blobs / ("b" + item.name))
                (snapshot / item.name).symlink_to(f"../../blobs/b{item.name}")
        return snapshot


def test_an_id_is_found_in_the_hub_cache():
    with Hub() as hub:
        hub.entry("someone/tiny-clip")
        named, = lines(paraphym("embed", "--text", "a red circle"))
        found, = lines(paraphym("embed", "-m", "someone/tiny-clip", "--text", "a red circle",
                                HF_HUB_CACHE=hub.path))
        assert found["embedding"] == named["embedding"]
        for command in "inspect", "tokenize":
            assert paraphym(command, "-m", "someone/tiny-clip", *["x"] * (command == "tokenize"),
                            HF_HUB_CACHE=hub.path).returncode == 0
        assert paraphym("tokenize", "x", model="someone/tiny-clip",
                        HF_HUB_CACHE=hub.path).returncode == 0
        fails("embed", "-m", "someone/else", "--text", "x", HF_HUB_CACHE=hub.path,
              PARAPHYM_MODELS="/my/models",
              says=["someone/else", "no such model", str(hub.path), "/my/models"])
        shutil.rmtree(hub.path / "models--someone--tiny-clip" / "snapshots" / "0123abcd")
        fails("embed", "-m", "someone/tiny-clip", "--text", "x", HF_HUB_CACHE=hub.path,
              says="download the model again")


def test_names_of_models():
    with Folder() as folder:
        folder.model().rename(folder.path / "mine")
        assert paraphym("tokenize", "-m", "mine", "x", PARAPHYM_MODELS=folder.path).returncode == 0
        assert paraphym("tokenize", "-m", "tiny", "x", model=None).returncode == 0
        for bad, said in ("../mine", "no such file"), ("a\nb", "control"), ("no/such", "no/such"):
            fails("tokenize", "-m", bad, "x", PARAPHYM_MODELS=folder.path, says=said)
        gguf = folder.file("m.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
        fails("embed", "-m", gguf, "--text", "x", says=["m.gguf", "GGUF"])


def test_models():
    with Hub() as hub:
        snapshot = hub.entry("someone/tiny-clip")
        (hub.path / "models--someone--half" / "snapshots" / "x").mkdir(parents=True)
        mine = hub.path / "mine"
        mine.mkdir()
        key = b"general.architecture"
        (mine / "writer.gguf").write_bytes(
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key +
            struct.pack("<IQ", 8, 5) + b"llama")
        (mine / "broken.gguf").write_bytes(b"GGUF")
        (mine / "evil").mkdir()
        (mine / "evil" / "config.json").write_text('{"model_type": "a\\u001b[2J"}')
        done = paraphym("models", "--json", HF_HUB_CACHE=hub.path, PARAPHYM_MODELS=mine)
        assert done.returncode == 0, done.stderr
        assert b"broken" in done.stderr and b"someone/half" in done.stderr
        said = {line["name"]: line for line in lines(done)}
        assert set(said) == {"writer", "evil", "someone/tiny-clip", "tiny", "tiny-llava"}, said.keys()
        assert said["someone/tiny-clip"]["path"] == str(snapshot)
        assert said["someone/tiny-clip"]["place"] == "hub" and said["tiny"]["place"] == "built-in"
        assert said["tiny-llava"]["place"] == "built-in"
        assert said["tiny-llava"]["capabilities"] == ["vision", "generation"]
        for name in "someone/tiny-clip", "tiny":
            card = said[name]
            assert card["supported"] and card["dimensions"] == 128 and card["architecture"] == "clip"
            assert card["capabilities"] == ["image-embedding", "text-embedding"]
            assert card["needs"]["f32"] > card["needs"]["bf16"] > card["needs"]["int8"] > 0
        assert said["writer"]["architecture"] == "llama" and not said["writer"]["supported"]
        plain = paraphym("models", HF_HUB_CACHE=hub.path, PARAPHYM_MODELS=mine)
        assert plain.stdout.count(b"\n") == 6 and b"\x1b" not in plain.stdout
        one, = lines(paraphym("models", "--json", MODEL))
        assert one["path"] == str(MODEL) and one["place"] == "path"
        fails("models", "no/such", mine / "broken.gguf", says=["no/such", "broken.gguf"])


def test_bench_prints_json():
    said, = lines(paraphym("bench", "embed", "--batch", "2", "--json"))
    assert said["images_per_second"] > 0
    said, = lines(paraphym("bench", "embed", "--batch", "2", "--text", "--json"))
    assert said["texts_per_second"] > 0


def test_generate():
    with Folder() as here:
        model = language_model(here.path / "bytes")

        def generate(*arguments, **options):
            return paraphym("generate", *arguments, model=model, **options)

        plain = generate("-t", "0", "--max-tokens", "40", "once")
        assert plain.returncode == 0 and plain.stdout.endswith(b"\n") and len(plain.stdout) > 20
        said, = lines(generate("-t", "0", "--max-tokens", "40", "--top-logits", "3", "--json", "once"))
        assert (said["answer"] + "\n").encode() == plain.stdout
        assert said["prompt_tokens"] == 4 and said["completion_tokens"] == len(said["token_ids"])
        assert said["finish_reason"] in ("stop", "length") and said["timings"]["prompt_seconds"] >= 0
        top = said["top_logits"]
        assert len(top) == 3 and top[0][0] == said["token_ids"][0]
        assert top[0][1] >= top[1][1] >= top[2][1]
        for extra in (["--no-kv-cache"], ["--threads", "1"]):
            assert generate("-t", "0", "--max-tokens", "40", *extra, "once").stdout == plain.stdout, extra
        assert generate("-t", "0", "--max-tokens", "40", "-", stdin=b"once").stdout == plain.stdout
        drawn = [generate("--seed", seed, "--max-tokens", "30", "once").stdout for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        # A stop string is not shown, nor what comes behind it.
        stop = said["answer"][5:7]
        cut, = lines(generate("-t", "0", "--max-tokens", "40", "--stop", "never", "--stop", stop, "--json", "once"))
        assert cut["answer"] == said["answer"][:said["answer"].index(stop)] and cut["finish_reason"] == "stop"
        chat, = lines(generate("-t", "0", "--max-tokens", "5", "--template", "chatml", "--json", "hi"))
        assert chat["prompt_tokens"] == len("user\nhi") + len("\nassistant\n") + 3
        fails("generate", "--chat", "hi", says="--template", model=model)


def test_generate_refuses():
    with Folder() as here:
        model = language_model(here.path / "bytes", context=64)
        fails("generate", says="prompt", status=2, model=model)
        fails("generate", "one", "two", says="two", status=2, model=model)
        fails("generate", "-t", "warm", "x", says="warm", status=2, model=model)
        fails("generate", "-t", "nan", "x", says="temperature", model=model)
        fails("generate", "--top-p", "2", "x", says="top_p", model=model)
        fails("generate", "--max-tokens", "0", "x", says="0 tokens", model=model)
        fails("generate", "--template", "none", "x", says=["none", "vicuna"], model=model)
        fails("generate", "y" * 64, says=["64 tokens", "1 too many"], model=model)
        fails("generate", "-", stdin=b"\xff", says="UTF-8", model=model)
        fails("generate", "-", stdin=b"a\0b", says="zero byte", model=model)
        announced = paraphym("generate", "--max-tokens", "3", "x", model=None)
        assert announced.returncode == 0 and announced.stderr.count(b"built-in demo model (tiny-llava") == 1, announced
        fails("generate", "x", says="no/such", model="no/such")
        full, = lines(paraphym("generate", "-t", "0", "--json", "z" * 60, model=model))
        assert full["completion_tokens"] <= 4
        cut = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(cut[:-1000])
        fails("generate", "x", says="model.safetensors", model=model)


def test_generate_is_interrupted():
    with Folder() as here:
        model = language_model(here.path / "bytes", context=1 << 20)
        with subprocess.Popen([str(COMMAND), "generate", "-m", str(model), "--max-tokens", "1000000", "--seed", "3",
                               "--stop", "never that", "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            assert running.stdout.read(1)
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=60)
            assert running.returncode == 130 and said == b"\n", (running.returncode, said)


def interrupted_while_full(start):
    """Ctrl-C until it ends, once its output stands still; how it ended."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    full = os.write(write, bytes(3900))
    with start(stdout=write) as running:
        os.close(write)
        sizes = [0]
        while sizes[-1] <= full or len(sizes) < 4 or len(set(sizes[-4:])) > 1:
            time.sleep(0.1)
            sizes.append(struct.unpack("i", fcntl.ioctl(read, termios.FIONREAD, b"0000"))[0])
        deadline = time.monotonic() + 20
        while running.poll() is None and time.monotonic() < deadline:
            running.send_signal(signal.SIGINT)
            time.sleep(0.05)
        running.kill()
        os.close(read)
        return running.wait()


def test_answers_are_interrupted():
    """Of what is asked: the first Ctrl-C ends it in order, the second at once, whatever it hangs on."""
    with Folder() as here:
        sees = language_model(here.path / "sees", context=1 << 20, sees=True, ends=False)
        long = ["-m", str(sees), "--max-tokens", "1000000", "-t", "0", "--template", "vicuna"]
        for words in (["ask", *long, str(EXAMPLES / "red-circle.png"), "What is it?"], ["generate", *long, "x"]):
            def start(**streams):
                return subprocess.Popen([str(COMMAND), *words], stderr=subprocess.PIPE, **streams)

            with start(stdout=subprocess.PIPE) as running:
                assert running.stdout.read(1)
                running.send_signal(signal.SIGINT)
                _, said = running.communicate(timeout=60)
                assert running.returncode == 130 and said == b"\n", (running.returncode, said)
            # Nobody reads what it writes: it is not through with the first one when the second comes.
            assert -signal.SIGINT in (interrupted_while_full(start) for _ in range(5))
            # Nobody writes what it loads: the question is over at the first one, the load only at the second.
            tokenizer = sees / "tokenizer.json"
            content = tokenizer.read_bytes()
            tokenizer.unlink()
            os.mkfifo(tokenizer)
            with start(stdout=subprocess.DEVNULL) as running, open(tokenizer, "wb"):
                running.send_signal(signal.SIGINT)
                assert select.select([running.stderr], [], [], 60)[0] and running.stderr.read(1) == b"\n"
                assert running.poll() is None
                running.send_signal(signal.SIGINT)
                assert running.wait(60) == -signal.SIGINT, running.returncode
            tokenizer.unlink()
            tokenizer.write_bytes(content)


def test_convert():
    with Folder() as here:
        model = language_model(here.path / "bytes")
        steps = json.loads((model / "tokenizer.json").read_text())
        steps["pre_tokenizer"]["use_regex"] = True
        (model / "tokenizer.json").write_text(json.dumps(steps))
        options = ["generate", "-t", "0", "--max-tokens", "30", "--precision", "f32", "--json", "once"]
        wanted, = lines(paraphym(*options, model=model))
        for kind in ("f32", "q8_0"):
            out = here.path / f"{kind}.gguf"
            said, = lines(paraphym("convert", "--json", model, out, "--type", kind, model=None))
            assert said["file"] == str(out) and said["tensors"] == 21
            assert out.stat().st_size > said["bytes"]
            if kind == "f32":
                assert lines(paraphym(*options, model=out))[0]["token_ids"] == wanted["token_ids"]
        assert out.stat().st_size < (here.path / "f32.gguf").stat().st_size / 2
        rounded = lines(paraphym(*options, "--quantize", "q8_0", model=model))
        assert [r["token_ids"] for r in rounded] == [r["token_ids"] for r in lines(paraphym(*options, model=out))]
        fails(*options, "--quantize", "q2", says=["q2", "q8_0"], model=model)
        paraphym("bench", "generate", "--quantize", "q4_0", "--runs", "1", "--max-tokens", "2", model=model)
        again = here.path / "again.gguf"
        assert paraphym("convert", here.path / "f32.gguf", again, "--type", "q8_0").stdout.startswith(b"21 tensors")
        assert len(again.read_bytes()) == len(out.read_bytes())
        there = sorted(item.name for item in here.path.iterdir())
        fails("convert", model, says="file to write", status=2)
        fails("convert", model, out, "more", says="more", status=2)
        fails("convert", model, out, "--type", "q9", says=["q9", "q8_0"], status=2)
        fails("convert", "no/such", out, says="no/such")
        fails("convert", MODEL, out, says="clip")
        fails("convert", model, here.path / "no" / "x.gguf", says="x.gguf")
        steps["pre_tokenizer"] = {"type": "Whitespace"}
        (model / "tokenizer.json").write_text(json.dumps(steps))
        fails("convert", model, out, says="tokenizer")
        (model / "tokenizer.json").unlink()
        assert b"no tokenizer" in paraphym("convert", model, out).stderr
        assert sorted(item.name for item in here.path.iterdir()) == there


def test_convert_a_model_that_sees():
    with Folder() as here:
        model, out, part = MODEL.parent / "tiny-llava", here.path / "out.gguf", here.path / "mmproj-out.gguf"
        red, both = EXAMPLES / "red-circle.png", EXAMPLES / "heart-and-ring.png"

        def answers(which, *options):
            return [lines(paraphym("ask", "-t", "0", "--precision", "f32", "--json", *options, *asked,
                                   model=which))[0]["token_ids"]
                    for asked in ((red, "What do you see?"), (both, "What colour is the heart?"),
                                  (red, both, "Describe the picture."))]

        wanted = answers(model)
        said, = lines(paraphym("convert", "--json", model, out, model=None))
        assert said["file"] == str(out) and said["projector"] == str(part) and said["tensors"] == 113
        assert sum(path.stat().st_size for path in (out, part)) > said["bytes"]
        assert answers(out) == wanted
        # Another pair beside it: each model has the part of its own name, or the one that is told.
        other, eyes = here.path / "q8.gguf", here.path / "mmproj-eyes.gguf"
        said = paraphym("convert", model, other, "--type", "q8_0", "--projector", eyes)
        assert b"113 tensors" in said.stdout and b"mmproj-eyes.gguf" in said.stdout
        assert answers(out) == wanted
        assert len(answers(other, "--projector", eyes)) == 3
        fails("ask", red, "What?", says="2 models and 2 picture parts", model=other)
        cards = lines(paraphym("models", "--json", out, other))
        assert ["vision" in card["capabilities"] for card in cards] == [True, False]
        there = sorted(item.name for item in here.path.iterdir())
        assert there == ["mmproj-eyes.gguf", "mmproj-out.gguf", "out.gguf", "q8.gguf"]
        blind, = lines(paraphym("convert", "--json", "--no-projector", model, here.path / "alone.gguf"))
        assert "projector" not in blind and blind["tensors"] == 56
        (here.path / "alone.gguf").unlink()
        fails("convert", model, out, "--projector", out, says="out.gguf")
        fails("convert", model, out, "--projector", here.path / "no" / "x.gguf", says="x.gguf")
        fails("convert", model, out, "--projector", part, "--no-projector", says="--no-projector", status=2)
        fails("convert", out, here.path / "x.gguf", "--projector", here.path / "y.gguf", says="no picture part")
        writes = language_model(here.path / "writes")
        fails("convert", writes, here.path / "x.gguf", "--projector", part, says="no LLaVA")
        shutil.rmtree(here.path / "writes")
        assert sorted(item.name for item in here.path.iterdir()) == there


def test_ask():
    with Folder() as here:
        model = language_model(here.path / "sees", sees=True)
        red, green = EXAMPLES / "red-circle.png", EXAMPLES / "green-triangle.jpg"

        def ask(*arguments, **options):
            return paraphym("ask", "-t", "0", "--max-tokens", "20", "--template", "vicuna", *arguments, model=model,
                            **options)

        plain = ask(red, "What is it?")
        assert plain.returncode == 0 and plain.stdout.endswith(b"\n") and len(plain.stdout) > 5, plain.stderr
        said, = lines(ask("--json", red, "What is it?"))
        assert (said["answer"] + "\n").encode() == plain.stdout
        assert said["pictures"] == 1 and said["pictures_reused"] == 0 and said["picture_tokens"] == 4
        assert said["prompt_tokens"] == len("USER: \nWhat is it? ASSISTANT:") + 4
        assert 0 < said["timings"]["picture_seconds"] <= said["timings"]["prompt_seconds"]
        assert ask("-", "What is it?", stdin=red.read_bytes()).stdout == plain.stdout
        assert ask("data:image/png;base64," + base64.b64encode(red.read_bytes()).decode(),
                   "What is it?").stdout == plain.stdout
        assert ask(red, "-", stdin=b"What is it?").stdout == plain.stdout
        assert ask(green, "What is it?").stdout != plain.stdout
        both, = lines(ask("--json", red, green, red, "Which?"))
        assert both["pictures"] == 3 and both["pictures_reused"] == 1 and both["picture_tokens"] == 12
        described, = lines(paraphym("models", "--json", model))
        assert "vision" in described["capabilities"], described
        looked, = lines(paraphym("bench", "vision", "--runs", "2", "--json", model=model))
        assert looked["seconds_per_image"] >= looked["seconds_min"] > 0
        assert looked["rows"] == 4 and looked["side"] == 28


def test_ask_refuses():
    with Folder() as here:
        model, blind = language_model(here.path / "sees", sees=True), language_model(here.path / "blind")
        red, form = EXAMPLES / "red-circle.png", ("--template", "vicuna")
        fails("ask", says="a question", status=2, model=model)
        fails("ask", red, says="a question", status=2, model=model)
        fails("ask", *form, "no such word", "what?", says="no picture", model=model)
        fails("ask", *form, "/no/such.png", "what?", says="/no/such.png", model=model)
        fails("ask", *form, red, here.path / "sees" / "config.json", "what?", says=["picture 2", "config.json"],
              model=model)
        fails("ask", *form, red, "what?", says="takes no pictures", model=blind)
        fails("ask", *form, "--projector", "/no/such.gguf", red, "what?", says="/no/such.gguf", model=model)
        fails("ask", *form, "--max-tokens", "0", red, "what?", says="0 tokens", model=model)
        fails("ask", red, "what?", says="--template", model=model)
        fails("ask", *form, *[red] * 130, "what?", says="520 of them of 130 pictures", model=model)
        fails("bench", "vision", says="takes no pictures", model=blind)
        # Without its tower it still writes.
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes().replace(b"multi_modal_projector.linear_2", b"multi_modal_projector.linear_9"))
        fails("ask", *form, red, "what?", says="linear_2", model=model)
        assert paraphym("generate", "--max-tokens", "3", "x", model=model).returncode == 0
        described, = lines(paraphym("models", "--json", model))
        assert "vision" not in described["capabilities"] and "projector" in described["reason"], described


def test_bench_generate():
    with Folder() as here:
        model = language_model(here.path / "bytes")
        said, = lines(paraphym("bench", "generate", "--json", "--prompt-tokens", "20", "--max-tokens", "5", "--sequences", "3",
                               "--runs", "2", model=model))
        assert said["prefill_tokens_per_second"] > 0 and said["decode_tokens_per_second"] > 0
        assert said["sequences"] == 3 and said["architecture"] == "llama"
        fails("bench", "generate", "--prompt-tokens", "600", says="512", model=model)
        fails("bench", "write", says="bench generate", status=2, model=model)


def test_wrong_usage_is_status_2():
    fails("embed", says="nothing to embed", status=2)
    fails("embed", "--colour", says="--colour", status=2)
    fails("embed", "--text", says="needs a value", status=2)
    fails("embed", "--threads", "many", "--text", "x", says="--threads", status=2)
    fails("embed", "--precision", "f8", "--text", "x", says="f8", status=2)
    fails("similarity", "--text", "one", says="two inputs", status=2)
    fails("paint", says="paint", status=2)
    assert paraphym().returncode == 2


def test_truncated_pictures():
    with Folder() as folder:
        for picture in pictures():
            content = picture.read_bytes()
            for size in (3, 20, len(content) // 2, len(content) - 40):
                cut = folder.file("cut" + picture.suffix, content[:size])
                fails("embed", cut, says=str(cut))


def test_lying_pictures():
    with Folder() as folder:
        bomb = png(1, 1, b"", claim=(60000, 60000))
        assert len(bomb) < 100
        fails("embed", folder.file("bomb.png", bomb), says=["bomb.png", "60000"])
        lie = png(4, 4, b"\0" * 13, claim=(1000, 1000))
        fails("embed", folder.file("lie.png", lie), says="lie.png")
        fails("embed", folder.file("empty.png", b""), says="empty")
        fails("embed", folder.file("text.jpg", b"not a picture"), says="text.jpg")
        fails("embed", folder.path, says="folder")
        good = folder.file("good.png", plain_png())
        assert paraphym("embed", good).returncode == 0


def test_addresses():
    with Site() as site:
        named, = lines(paraphym("embed", EXAMPLES / "red-circle.png"))
        for path in "/picture", "/once":
            fetched, = lines(paraphym("embed", site + path))
            assert fetched["embedding"] == named["embedding"] and fetched["kind"] == "image"
        fails("embed", site + "/nothing", says=[site + "/nothing", "404"])
        fails("embed", site + "/loop", says="redirect")
        fails("embed", site + "/text", says=site + "/text")
        fails("embed", site + "/big", says="67108864")
        fails("embed", "--timeout", "1", site + "/stall", says=site + "/stall")
        done = fails("embed", site + "/nothing", site + "/picture", says="404")
        assert len(lines(done)) == 1
    fails("embed", site + "/picture", says=site)


def test_data_addresses():
    content = (EXAMPLES / "red-circle.png").read_bytes()
    address = "data:image/png;base64," + base64.b64encode(content).decode()
    inline, = lines(paraphym("embed", address))
    named, = lines(paraphym("embed", EXAMPLES / "red-circle.png"))
    assert inline["embedding"] == named["embedding"]
    fails("embed", "data:image/png;base64,@@@", says="base64")
    fails("embed", "data:image/png;base64", says="data:")
    fails("embed", "data:image/png;base64,", says="empty")


def test_texts():
    fails("embed", "--text", "", says="empty")
    fails("embed", "--text", "-", stdin=b"ok\n\xff\xfe\n", says="UTF-8")
    long = "red circle " * 200
    fails("embed", "--text", long, says="truncate")
    assert paraphym("embed", "--truncate", "--text", long).returncode == 0


def test_damaged_weights():
    name = "visual_projection.weight"

    def refused(change, says):
        with Folder() as folder:
            model = folder.model()
            damage(model, change)
            fails("embed", EXAMPLES / "red-circle.png", model=model, says=says)

    def overlap(header):
        header[name]["data_offsets"] = header["text_projection.weight"]["data_offsets"]

    def beyond(header):
        begin = 10**12
        size = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
        header[name]["data_offsets"] = [begin, begin + size]

    def negative(header):
        header[name]["shape"] = [-1, 4]

    def wrong_type(header):
        header[name]["dtype"] = "I16"

    def wrong_shape(header):
        header[name]["shape"] = header[name]["shape"][::-1] + [1]

    def missing(header):
        header["other.weight"] = header.pop(name)

    refused(overlap, "model.safetensors")
    refused(beyond, "model.safetensors")
    refused(negative, "model.safetensors")
    refused(wrong_type, [name])
    refused(wrong_shape, [name])
    refused(missing, [name])
    refused(lambda header: b"{\"a\":", "model.safetensors")
    with Folder() as folder:
        model = folder.model()
        weights = model / "model.safetensors"
        content = weights.read_bytes()
        for bad in b"", content[:7], struct.pack("<Q", 2**40) + content[8:], content[:-100]:
            weights.write_bytes(bad)
            fails("embed", "--text", "a red circle", model=model, says="model.safetensors")
        weights.unlink()
        fails("embed", "--text", "a red circle", model=model, says="model")


def test_damaged_configuration():
    with Folder() as folder:
        model = folder.model()
        for bad in b"", b"{", b"[]", b"{\"model_type\":\"clip\",\"projection_dim\":-1}", b"\xff\xfe":
            (model / "config.json").write_bytes(bad)
            fails("embed", "--text", "a red circle", model=model, says="config.json")
        (model / "config.json").unlink()
        fails("embed", "--text", "a red circle", model=model, says="config.json")


def test_a_folder_that_lacks_the_tokenizer_still_sees():
    with Folder() as folder:
        model = folder.model()
        for name in "tokenizer.json", "vocab.json", "merges.txt":
            (model / name).unlink(missing_ok=True)
        done = fails("embed", EXAMPLES / "red-circle.png", "--text", "a red circle", model=model,
                     says="tokenizer")
        line, = lines(done)
        assert line["kind"] == "image"


def command_in(shell, *arguments, model=MODEL, **environment):
    """Run a line of bash in which "$P" is the command."""
    inherited = {k: v for k, v in os.environ.items()
                 if k != "PARAPHYM_MODEL" and not k.lower().endswith("_proxy")}
    return subprocess.run(["bash", "-c", shell, "bash", *map(str, arguments)], timeout=120,
                          capture_output=True, stdin=subprocess.DEVNULL,
                          env={**inherited, "P": str(COMMAND), "PARAPHYM_MODEL": str(model),
                               **environment})


def test_closed_descriptors():
    done = command_in('"$P" embed --text x >&-')
    assert done.returncode == 1 and b"output" in done.stderr, done
    done = command_in('"$P" embed --text x 2>&-')
    assert done.returncode == 0 and len(lines(done)) == 1, done
    assert command_in('"$P" embed /no/such.png 2>&-').returncode == 1
    assert command_in('"$P" embed --text x <&- >&- 2>&-').returncode == 1
    done = command_in('"$P" embed - <&-')
    assert done.returncode == 1 and b"standard input" in done.stderr, done


def test_output_that_cannot_be_written():
    for words in ("embed --text x", "similarity --text x --text y", "tokenize x", "inspect",
                  "similarity --json --text x --text y --text z", "--version", "embed --help"):
        done = command_in(f'"$P" {words} > /dev/full')
        assert done.returncode == 1, (words, done)
        assert done.stderr.count(b"\n") == 1 and b"No space" in done.stderr, (words, done)
    # The first line that cannot be written is the last thing that is tried.
    done = command_in('"$P" embed "$@" > /dev/full', *pictures() * 20)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done
    done = command_in('trap "" PIPE; "$P" embed "$@" | true; echo ${PIPESTATUS[0]}',
                      *pictures() * 20)
    assert done.stdout == b"1\n" and done.stderr.count(b"paraphym") == 1, done


def test_standard_input_is_asked_last():
    # Wrong usage and help do not wait for it.
    for words, status in ("embed - --colour", 2), ("embed - --help", 0), ("tokenize - -x", 2):
        done = command_in(f'mkfifo "$1/p" && exec 3<>"$1/p" && "$P" {words} <&3; '
                          'status=$?; rm "$1/p"; exit $status', tempfile.gettempdir())
        assert done.returncode == status, (words, done)
    fails("embed", "-", "--text", "-", says="only once", status=2)
    done = command_in('"$P" embed - < /')
    assert done.returncode == 1 and b"folder" in done.stderr, done
    done = command_in('"$P" embed - < /dev/zero')
    assert done.returncode == 1 and b"67108864" in done.stderr, done


def test_lines_stand_where_their_word_stood():
    done = paraphym("embed", "--text", "first", "--text", "-", EXAMPLES / "red-circle.png",
                    stdin=b"a\r\n\nb c\n")
    assert done.returncode == 1 and b"input 3: the text is empty" in done.stderr, done.stderr
    assert [line["input"] for line in lines(done)] == ["first", "a", "b c",
                                                       str(EXAMPLES / "red-circle.png")]
    none = paraphym("embed", "--text", "-", stdin=b"")
    assert none.returncode == 0 and none.stdout == none.stderr == b""
    pair, = lines(paraphym("similarity", "--json", "-", EXAMPLES / "two-stars.webp",
                           stdin=b"two stars\n"))
    assert pair["a"] == "two stars"


def test_results_come_as_they_are_ready():
    with Site() as site:
        command = subprocess.Popen([str(COMMAND), "embed", "-m", str(MODEL), "--text", "ready",
                                    site + "/stall"], stdout=subprocess.PIPE)
        assert json.loads(command.stdout.readline())["input"] == "ready"
        command.kill()
        command.wait()
        command.stdout.close()


def test_lines_are_answered_as_they_come():
    for words in ("embed", "--text", "-"), ("tokenize", "--json", "-"):
        command = subprocess.Popen([str(COMMAND), *words, "-m", str(MODEL)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        for text in "a", "two stars", "x y " * 5:
            command.stdin.write(text.encode() + b"\n")
            command.stdin.flush()
            said = json.loads(command.stdout.readline())
            assert said.get("input", said.get("text")) == text, said
        command.stdin.write(b"the last")
        command.stdin.close()
        said = json.loads(command.stdout.readline())
        assert said.get("input", said.get("text")) == "the last", said
        assert command.stdout.read() == b"" and command.wait() == 0
        command.stdout.close()


def test_lines_are_many():
    done = paraphym("tokenize", "-", stdin=b"a\n" * 200000)
    assert done.returncode == 0 and done.stdout.count(b"\n") == 200000
    done = paraphym("embed", "--text", "-", stdin=b"a\n" * 300 + b"x" * (65 << 20))
    assert len(lines(done)) == 300 and done.returncode == 1
    assert done.stderr.count(b"\n") == 1 and b"line" in done.stderr, done.stderr
    fails("similarity", "--text", "-", stdin=b"a\n" * 10001, says="10000")


def test_names_that_are_strange():
    content = (EXAMPLES / "red-circle.png").read_bytes()
    with Folder() as folder:
        for name in b"a\nb.png", b"\xff\xfe.png", b"\x1b[31m\xc2\x9b.png", b"-m", b"\"\\.png":
            path = os.fsencode(folder.path) + b"/" + name
            with open(path, "wb") as file:
                file.write(content)
            line, = lines(paraphym("embed", os.fsdecode(path)))
            assert line["input"] == path.decode(errors="replace"), line["input"]
            table = paraphym("similarity", os.fsdecode(path), os.fsdecode(path), "--text", "x")
            assert table.returncode == 0 and b"\x1b" not in table.stdout, table
            table.stdout.decode()
            with open(path, "wb") as file:
                file.write(b"not a picture")
            done = fails("embed", os.fsdecode(path), says="picture")
            assert b"\x1b" not in done.stderr and b"\xc2\x9b" not in done.stderr
            assert done.stderr.count(b"\n") == 1
        inside = command_in('cd "$1" && cp "$2" ./-m && "$P" embed -- -m', folder.path,
                            EXAMPLES / "red-circle.png")
        assert lines(inside)[0]["input"] == "-m"
    for words in ("\x1b[31m",), ("embed", "--\x1b[31m"), ("embed", "\x1b[31m.png"):
        done = paraphym(*words)
        assert done.returncode in (1, 2) and b"\x1b" not in done.stderr, done


def test_pipes_and_devices_are_files():
    picture = EXAMPLES / "red-circle.png"
    named, = lines(paraphym("embed", picture))
    for shell in '"$P" embed <(cat "$1")', 'cat "$1" | "$P" embed /dev/stdin', '"$P" embed - < "$1"':
        line, = lines(command_in(shell, picture))
        assert line["embedding"] == named["embedding"], shell
    fails("embed", "/dev/zero", says=["/dev/zero", "67108864"])
    fails("embed", "/dev/null", says="/dev/null")


def test_ten_thousand_inputs_in_bounded_memory():
    picture = EXAMPLES / "red-circle.png"
    with Folder() as folder:
        for i in range(10000):
            (folder.path / f"{i:04}.png").symlink_to(picture)
        names = [f"{i:04}.png" for i in range(10000)]
        with open(folder.path / "out", "wb") as out:
            command = subprocess.Popen([str(COMMAND), "embed", "-m", str(MODEL), *names],
                                       cwd=folder.path, stdout=out)
            _, status, used = os.wait4(command.pid, 0)
            command.returncode = os.waitstatus_to_exitcode(status)
        assert command.returncode == 0
        with open(folder.path / "out") as out:
            assert [json.loads(line)["input"] for line in out] == names
        # AddressSanitizer keeps what is freed; the pixels of all would be 500 MB.
        if b"__asan_init" not in COMMAND.read_bytes():
            assert used.ru_maxrss < 200_000, used.ru_maxrss


def test_a_model_is_a_folder_or_anything_in_it():
    wanted, = lines(paraphym("embed", "--text", "a red circle"))
    with Folder() as folder:
        (folder.path / "snapshots").mkdir()
        (folder.path / "snapshots" / "0123abc").symlink_to(MODEL)
        for model in MODEL / "model.safetensors", MODEL / "config.json", folder.path:
            line, = lines(paraphym("embed", "-m", model, "--text", "a red circle"))
            assert line["embedding"] == wanted["embedding"], model
            assert json.loads(paraphym("inspect", "--json", model).stdout)["tokenizer"] is True
        for model in MODEL / "model.safetensors", folder.path:
            assert paraphym("tokenize", "-m", model, "a").returncode == 0, model
    fails("embed", "-m", "", "--text", "x", says="-m", status=2)
    fails("inspect", "-m", "/no/such", says="/no/such")
    # What the model lacks is told once, not for every input.
    done = fails("embed", "-m", EXAMPLES / "red-circle.png", *["--text", "x"] * 300, says="299 more")
    assert done.stderr.count(b"\n") == 2


def test_inspect_lists_tensors_as_json():
    said = json.loads(paraphym("inspect", "--json", "--tensors", MODEL).stdout)
    assert len(said["tensor_list"]) == said["tensors"] > 10
    assert {"name", "type", "shape", "file"} == set(said["tensor_list"][0])


def test_environments_do_not_matter():
    wanted, = lines(paraphym("embed", EXAMPLES / "red-circle.png"))
    for extra in ({"LC_ALL": "de_DE.UTF-8"}, {"LC_ALL": "C"}, {"OMP_NUM_THREADS": "7"},
                  {"http_proxy": "http://127.0.0.1:1"}, {"LANG": "tr_TR.UTF-8"}):
        done = command_in('cd / && "$P" embed "$1"', EXAMPLES / "red-circle.png", **extra)
        line, = lines(done)
        assert line["embedding"] == wanted["embedding"], extra
    fails("embed", "--threads", "1000", "--text", "x", says="256", status=2)
    assert paraphym("embed", "--threads", "64", "--text", "x").returncode == 0


def test_precisions_agree():
    def vector(precision):
        line, = lines(paraphym("embed", "--precision", precision, EXAMPLES / "red-circle.png"))
        return line["embedding"]

    exact = vector("f32")
    for precision, least in ("auto", 0.9995), ("bf16", 0.9995), ("int8", 0.99):
        cosine = sum(a * b for a, b in zip(exact, vector(precision)))
        assert cosine >= least, f"{precision}: {cosine}"


def test_threads_do_not_change_the_answer():
    one, = lines(paraphym("embed", "--precision", "f32", "--threads", "1", "--text", "a red circle"))
    two, = lines(paraphym("embed", "--precision", "f32", "--threads", "3", "--text", "a red circle"))
    assert max(abs(a - b) for a, b in zip(one["embedding"], two["embedding"])) < 1e-5


def text_model(folder, labels=0):
    """A BERT of one layer and eight numbers, of noise, with a tokenizer of whole words."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "red", "circle", "blue", "star", "ask", ":"]
    shapes = {"embeddings.word_embeddings.weight": [11, 8], "embeddings.position_embeddings.weight": [16, 8],
              "embeddings.token_type_embeddings.weight": [2, 8]}
    layer = "encoder.layer.0."
    for name, size in (("attention.self.query", [8, 8]), ("attention.self.key", [8, 8]),
                       ("attention.self.value", [8, 8]), ("attention.output.dense", [8, 8]),
                       ("intermediate.dense", [12, 8]), ("output.dense", [8, 12])):
        shapes |= {layer + name + ".weight": size, layer + name + ".bias": size[:1]}
    for name in ("embeddings.LayerNorm", layer + "attention.output.LayerNorm", layer + "output.LayerNorm"):
        shapes |= {name + ".weight": [8], name + ".bias": [8]}
    if labels:
        shapes |= {"pooler.dense.weight": [8, 8], "pooler.dense.bias": [8], "classifier.weight": [labels, 8],
                   "classifier.bias": [labels]}
    header, data = {}, b""
    for name, shape in shapes.items():
        count = math.prod(shape)
        part = struct.pack(f"<{count}f", *(math.sin(len(data) + 7.3 * i * i) for i in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    head = json.dumps(header).encode()
    folder.file("model.safetensors", struct.pack("<Q", len(head)) + head + data)
    config = dict(model_type="bert", hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                  intermediate_size=12, vocab_size=11, max_position_embeddings=16)
    if labels:
        config |= dict(architectures=["BertForSequenceClassification"], num_labels=labels)
    folder.file("config.json", json.dumps(config).encode())

    def special(name, kind):
        return {"SpecialToken": {"id": name, "type_id": kind}}

    def sequence(name, kind):
        return {"Sequence": {"id": name, "type_id": kind}}

    single = [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)]
    folder.file("tokenizer.json", json.dumps(dict(
        version="1.0", truncation=None, padding=None, decoder=None,
        added_tokens=[dict(id=i, content=words[i], single_word=False, lstrip=False, rstrip=False,
                           normalized=False, special=True) for i in range(4)],
        normalizer=dict(type="BertNormalizer", clean_text=True, handle_chinese_chars=True,
                        strip_accents=None, lowercase=True),
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor=dict(type="TemplateProcessing", single=single,
                            pair=[*single, sequence("B", 1), special("[SEP]", 1)],
                            special_tokens={w: dict(id=w, ids=[words.index(w)], tokens=[w])
                                            for w in ("[CLS]", "[SEP]")}),
        model=dict(type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##",
                   max_input_chars_per_word=100, vocab={w: i for i, w in enumerate(words)}))).encode())
    return folder.path


def test_text_models_embed():
    with Folder() as folder:
        model = text_model(folder)
        folder.file("config_sentence_transformers.json", b'{"prompts":{"query":"ask: "}}')
        plain, other = lines(paraphym("embed", "--text", "-", stdin=b"ask: red\nblue star\n", model=model))
        assert plain["kind"] == "text" and plain["dimensions"] == 8 and plain["embedding"] != other["embedding"]
        asked, = lines(paraphym("embed", "--task", "query", "--text", "red", model=model))
        assert asked["embedding"] == plain["embedding"]
        cut, = lines(paraphym("embed", "--dimensions", "3", "--text", "ask: red", model=model))
        length = math.sqrt(sum(x * x for x in plain["embedding"][:3]))
        assert max(abs(a - b / length) for a, b in zip(cut["embedding"], plain["embedding"])) < 1e-5
        assert len(cut["embedding"]) == cut["dimensions"] == 3
        said = float(paraphym("similarity", "--text", "a star", "--text", "a star", model=model).stdout)
        assert abs(said - 1) < 1e-5
        fails("embed", "--text", "red " * 20, says=["16", "22"], model=model)
        assert paraphym("embed", "--truncate", "--text", "red " * 20, model=model).returncode == 0
        fails("embed", EXAMPLES / "red-circle.png", says="text alone", model=model)
        fails("embed", "--task", "other", "--text", "x", says=["other", "query"], model=model)
        fails("embed", "--dimensions", "9", "--text", "x", says=["9", "8"], model=model)
        fails("embed", "--dimensions", "0", "--text", "x", says="dimensions", status=2, model=model)
        fails("rerank", "red", "a", says="cross-encoder", model=model)
        card, = lines(paraphym("models", "--json", model))
        assert card["supported"] and card["capabilities"] == ["text-embedding"] and card["context"] == 16
        assert json.loads(paraphym("bench", "embed", "--text", "--tokens", "9", "--runs", "1", "--json",
                                   model=model).stdout)["texts_per_second"] > 0
        fails("bench", "embed", says="--text", model=model)


def test_rerank_orders():
    with Folder() as folder:
        model = text_model(folder, labels=1)
        documents = ["a circle", "star", "blue", "red red"]
        found = lines(paraphym("rerank", "--json", "red", *documents, model=model))
        assert sorted(f["index"] for f in found) == [0, 1, 2, 3]
        assert all(documents[f["index"]] == f["document"] for f in found)
        logits = [f["logit"] for f in found]
        assert logits == sorted(logits, reverse=True)
        assert all(abs(f["score"] - 1 / (1 + math.exp(-f["logit"]))) < 1e-6 for f in found)
        read = paraphym("rerank", "--top", "2", "red", "-", stdin="\n".join(documents).encode(), model=model)
        assert [line.split("  ", 1)[1] for line in read.stdout.decode().splitlines()] == \
            [f["document"] for f in found[:2]]
        fails("rerank", "red", says="documents", status=2, model=model)
        fails("rerank", "", "a", says="empty", model=model)
        fails("embed", "--text", "red", says="rerank", model=model)
        done = fails("rerank", "--json", "red", "a", "red " * 20, says="document 2", model=model)
        assert [f["index"] for f in lines(done)] == [0]
        assert paraphym("rerank", "--truncate", "red", "red " * 20, model=model).returncode == 0
        card, = lines(paraphym("models", "--json", model))
        assert card["capabilities"] == ["rerank"] and card["supported"]


def shown_while_loading(slow, *arguments, model):
    """What the command writes to a terminal's stderr, and its output. A file that its load reads is a pipe, through
    which it comes only once the line stands there."""
    content = slow.read_bytes()
    slow.unlink()
    os.mkfifo(slow)
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PARAPHYM_")}
    running = subprocess.Popen([str(COMMAND), *map(str, arguments)], stdout=subprocess.PIPE, stderr=theirs,
                               env=environment | {"PARAPHYM_MODEL": str(model), "HF_HUB_CACHE": "/no/such/cache"})
    os.close(theirs)
    said = b""
    try:
        while b"loading the model" not in said:
            assert select.select([ours], [], [], 60)[0], (arguments, said)
            said += os.read(ours, 4096)
        with open(slow, "wb") as pipe:
            pipe.write(content)
        out = running.communicate(timeout=60)[0]
    finally:
        running.kill()
        while select.select([ours], [], [], 0)[0]:
            try:
                said += os.read(ours, 4096)
            except OSError:  # nobody has the other end any more
                break
        os.close(ours)
        slow.unlink()
        slow.write_bytes(content)
    assert running.returncode == 0, (arguments, said)
    return said.decode(), out


def test_a_load_is_shown_on_a_terminal():
    tap.need_terminals()
    with Folder() as here:
        embeds, writes = here.model(), language_model(here.path / "writes")
        sees, store = language_model(here.path / "sees", sees=True), here.path / "memory.db"
        red = EXAMPLES / "red-circle.png"
        memory = ["--store", store, "--embedding-model", embeds]
        for model, *arguments in ((embeds, "embed", "--text", "red"), (embeds, "similarity", "--text", "red", red),
                                  (embeds, "memory", "add", *memory, "red"), (embeds, "search", *memory, "red"),
                                  (writes, "generate", "-t", "0", "--max-tokens", "3", "x"),
                                  (sees, "ask", "-t", "0", "--template", "vicuna", "--max-tokens", "3", red, "x")):
            slow = model / ("preprocessor_config.json" if model == embeds else "tokenizer.json")
            said, out = shown_while_loading(slow, *arguments, model=model)
            assert said.endswith("\r\x1b[K"), (arguments, said)  # nothing of it stays
            plain = paraphym(*arguments, model=model)
            assert plain.returncode == 0 and b"loading" not in plain.stderr
            assert out == plain.stdout or arguments[0] == "memory", (arguments, out)


tap.run(sys.modules[__name__])
