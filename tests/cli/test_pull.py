"""paraphym pull against a hub that answers as the real one does, and against ones that stall, cut, lie,
redirect, refuse and send the wrong bytes: what comes is right or refused, and what broke off is gone on with.

    test_pull.py PARAPHYM SOURCE_ROOT
"""

import contextlib
import fcntl
import hashlib
import http.server
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.parse

COMMAND, ROOT = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
MODEL = ROOT / "models" / "tiny"
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import tap  # noqa: E402

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = bytes(range(256)) * 4096


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Model:
    """What the hub has under one name. large: kept outside git, and fetched by a redirect to the other host.
    script: name of a file to what its server does at the nth request."""

    def __init__(self, files, large=(), tells=True, **script):
        self.files, self.large, self.tells, self.script = files, set(large), tells, script

    def listing(self):
        files = []
        for name, content in self.files.items():
            item = {"rfilename": name}
            if self.tells:
                item |= {"size": len(content), "blobId": git_sha1(content)}
                if name in self.large:
                    item["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 9}
            files.append(item)
        return {"id": "a/b", "sha": COMMIT, "siblings": files}


class Hub(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, models):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models, self.seen, self.counts = models, [], {}
        self.lock, self.released, self.changed = threading.Lock(), threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        pass  # a client that goes is what is tested

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def tokens(self, host):
        return {token for where, _, token, _ in self.seen if where.startswith(host)}

    def paths(self):
        return [path for _, path, _, _ in self.seen]

    def ranges(self, name):
        return [span for _, path, _, span in self.seen if path.endswith("/" + name)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        hub = self.server
        with hub.lock:
            hub.seen.append((self.headers["Host"], path, self.headers["Authorization"],
                             self.headers["Range"]))
            count = hub.counts[path] = hub.counts.get(path, 0) + 1
        hub.changed.set()
        listing = re.fullmatch(r"/api/models/(.+)/revision/(.+)", path)
        file = re.fullmatch(r"/(cdn/)?(.+?/.+?)/resolve/([^/]+)/(.+)", path)
        model = hub.models.get((listing or file)[1 if listing else 2]) if listing or file else None
        if callable(model):
            return model(self)
        if model is None:
            return self.refuse(404, "RepoNotFound")
        if listing:
            if listing[2] not in ("main", COMMIT, "refs/pr/1"):
                return self.refuse(404, "RevisionNotFound")
            return self.send(200, json.dumps(model.listing()).encode())
        name, content = file[4], model.files[file[4]]
        if name in model.large and not file[1]:
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{hub.server_port}/cdn{self.path}")
            self.send_header("X-Linked-Etag", f'"{sha256(content)}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("ETag", '"of the redirect"')
            self.send_header("Content-Length", "0")
            return self.end_headers()
        action = model.script.get(name.replace(".", "_"), file_whole)
        action(self, content, count)

    def refuse(self, status, code, body=b"no"):
        self.send(status, body, {"X-Error-Code": code})

    def send(self, status, body, headers={}, announced=None):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def hang_up(self):
        self.close_connection = True


def file_whole(handler, content, count, sent=None, announced=None, ranges=True, tag=None):
    """The file, or the part that is asked for; `sent` bytes of it, then the end of the connection."""
    headers = {"ETag": tag or f'"{git_sha1(content)}"'}
    span = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
    status, body = 200, content
    if span and ranges:
        start = int(span[1])
        if start >= len(content):
            return handler.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        status, body = 206, content[start:]
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.send(status, body[:sent], headers, len(body) if announced is None else announced)
    if sent is not None:
        handler.hang_up()


def cut(sent, times=1, **options):
    return lambda handler, content, count: file_whole(handler, content, count,
                                                      sent if count <= times else None, **options)


def stall(sent, times=1):
    def action(handler, content, count):
        file_whole(handler, content, count, sent if count <= times else None)
        if count <= times:
            handler.server.released.wait(60)
    return action


class Cache:
    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp())
        self.hub = self.path / "hub"
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def entry(self, model="a/b"):
        return self.hub / ("models--" + model.replace("/", "--"))

    def snapshot(self, model="a/b", commit=COMMIT):
        folder = self.entry(model) / "snapshots" / commit
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def partials(self):
        """What is fetched in part, by its name; a file that is whole by the time it is read is none any more."""
        found = {}
        for path in self.entry().glob("blobs/*.incomplete"):
            with contextlib.suppress(FileNotFoundError):
                found[path.name] = path.read_bytes()
        return found


def environment(cache, hub, variables):
    places = ("PARAPHYM_MODEL", "PARAPHYM_MODELS", "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
              "HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HOME")
    kept = {k: v for k, v in os.environ.items()
            if k not in places and not k.lower().endswith("_proxy")}
    return kept | {"HOME": str(cache.path), "HF_HUB_CACHE": str(cache.hub),
                   "HF_ENDPOINT": hub.url} | {k: str(v) for k, v in variables.items()}


def pull(cache, hub, *arguments, preexec=None, **variables):
    done = subprocess.run([str(COMMAND), "pull", *arguments], capture_output=True, timeout=60,
                          env=environment(cache, hub, variables), preexec_fn=preexec)
    assert done.returncode in (0, 1, 2), f"{arguments}: {done.returncode} {done.stderr.decode()}"
    return done


def pulls(cache, hub, *arguments, **options):
    done = pull(cache, hub, *arguments, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done


def fails(cache, hub, *arguments, says, status=1, **options):
    done = pull(cache, hub, *arguments, **options)
    said = done.stderr.decode()
    assert done.returncode == status, f"{arguments}: status {done.returncode}: {said}"
    for word in [says] if isinstance(says, str) else says:
        assert word in said, f"{word!r} is not in {said!r}"
    return done


def tiny():
    names = [p.name for p in MODEL.iterdir() if p.suffix in (".json", ".safetensors", ".txt")]
    files = {name: (MODEL / name).read_bytes() for name in names}
    others = {"pytorch_model.bin": b"no", "tf_model.h5": b"no", "flax_model.msgpack": b"no",
              "onnx/model.onnx": b"no", "README.md": b"no", ".gitattributes": b"no",
              "openvino/openvino_model.bin": b"no", "model.fp16.safetensors": b"no"}
    return Model(files | others, large=["model.safetensors"]), files


def test_a_model_that_then_runs():
    model, files = tiny()
    with Cache() as cache, Hub({"a/b": model}) as hub:
        done = pulls(cache, hub, "a/b", "--json", HF_TOKEN="hf_secret")
        said = json.loads(done.stdout)
        assert said["commit"] == COMMIT and said["model"] == "a/b" and said["revision"] == "main"
        assert said["files"] == len(cache.snapshot()) and said["bytes"] == said["fetched_bytes"]
        fetched = cache.snapshot()
        wanted = {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json",
                  "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt"}
        assert set(fetched) == wanted & set(files), set(fetched) ^ (wanted & set(files))
        assert all(files[name] == content for name, content in fetched.items())
        assert (cache.entry() / "refs" / "main").read_text() == COMMIT
        link = cache.entry() / "snapshots" / COMMIT / "model.safetensors"
        assert os.readlink(link) == f"../../blobs/{sha256(files['model.safetensors'])}"
        assert not cache.partials()
        assert hub.tokens("127.0.0.1") == {"Bearer hf_secret"} and hub.tokens("localhost") == {None}
        # By its id the model is found, and embeds.
        ran = subprocess.run([str(COMMAND), "embed", "-m", "a/b", "--text", "a red circle"],
                             capture_output=True, env=environment(cache, hub, {}), timeout=60)
        assert ran.returncode == 0 and json.loads(ran.stdout)["model"] == "a/b", ran.stderr
        # A second pull asks what there is, and fetches nothing.
        before = len(hub.seen)
        again = pulls(cache, hub, "a/b", "--json")
        assert json.loads(again.stdout)["fetched_bytes"] == 0 and len(hub.seen) == before + 1


def test_where_the_environment_says():
    model = Model({"config.json": b"{}", "model.safetensors": b"weights"})
    with Cache() as cache, Hub({"a/b": model, "plain": model}) as hub:
        (cache.path / "token").write_text("hf_filed\n")
        pulls(cache, hub, "a/b", HF_HUB_CACHE="", HF_HOME=cache.path)
        assert hub.tokens("127.0.0.1") == {"Bearer hf_filed"}
        assert cache.snapshot()["config.json"] == b"{}"
        done = pulls(cache, hub, "a/b", "--revision", "refs/pr/1", HF_ENDPOINT=hub.url + "/")
        assert done.stdout.decode().strip().endswith(COMMIT)
        assert (cache.entry() / "refs" / "refs" / "pr" / "1").read_text() == COMMIT
        assert "revision/refs/pr/1" in hub.paths()[-1]


def test_only_what_is_needed():
    parts = {f"model-0000{i}-of-00002.safetensors": b"part %d" % i for i in (1, 2)}
    index = json.dumps({"weight_map": {f"t{i}": name for i, name in enumerate(parts)}}).encode()
    sharded = Model({"config.json": b"{}", "model.safetensors.index.json": index, **parts,
                     "consolidated.safetensors": b"no", "original/consolidated.00.pth": b"no"},
                    large=parts)
    modules = Model({"config.json": b"{}", "modules.json": b"[]", "model.safetensors": b"w",
                     "1_Pooling/config.json": b"{1}", "2_Dense/model.safetensors": b"d",
                     "2_Dense/pytorch_model.bin": b"no", "onnx/config.json": b"no"})
    with Cache() as cache, Hub({"a/b": sharded, "s/t": modules}) as hub:
        pulls(cache, hub, "a/b")
        assert cache.snapshot() == {"config.json": b"{}", "model.safetensors.index.json": index, **parts}
        pulls(cache, hub, "s/t")
        assert set(cache.snapshot("s/t")) == {"config.json", "modules.json", "model.safetensors",
                                              "1_Pooling/config.json", "2_Dense/model.safetensors"}
        assert os.readlink(cache.entry("s/t") / "snapshots" / COMMIT / "1_Pooling" /
                           "config.json").startswith("../../../blobs/")
    for files, says in (({"config.json": b"", "pytorch_model.bin": b""}, "not read (pytorch_model.bin)"),
                        ({"x-Q4_0.gguf": b"", "x-Q8_0.gguf": b""}, "name one: a/b:FILE (x-Q4_0.gguf"),
                        ({"README.md": b""}, "holds no weights"),
                        ({"a.safetensors": b"", "b.safetensors": b""}, "several *.safetensors")):
        with Cache() as cache, Hub({"a/b": Model(files)}) as hub:
            fails(cache, hub, "a/b", says=says)
            assert not cache.hub.exists()


def test_single_files():
    gguf = Model({"m-Q4_K_M.gguf": b"four", "m-Q8_0.gguf": b"eight", "config.json": b"{}",
                  "mmproj-m-bf16.gguf": b"bf16", "mmproj-m-f16.gguf": b"f16",
                  "big/m-F32-00001-of-00002.gguf": b"1", "big/m-F32-00002-of-00002.gguf": b"2"},
                 large=["m-Q4_K_M.gguf", "m-Q8_0.gguf"])
    with Cache() as cache, Hub({"a/b": gguf}) as hub:
        done = pulls(cache, hub, "a/b:m-Q8_0.gguf")
        assert pathlib.Path(done.stdout.decode().strip()).read_bytes() == b"eight"
        assert set(cache.snapshot()) == {"m-Q8_0.gguf"}
        done = pulls(cache, hub, "a/b:q4_k_m", "--projector")
        assert pathlib.Path(done.stdout.decode().strip()).read_bytes() == b"four"
        assert set(cache.snapshot()) == {"m-Q8_0.gguf", "m-Q4_K_M.gguf", "mmproj-m-f16.gguf"}
        done = pulls(cache, hub, "a/b:F32")
        assert done.stdout.decode().strip().endswith("big/m-F32-00001-of-00002.gguf")
        assert cache.snapshot()["big/m-F32-00002-of-00002.gguf"] == b"2"
        fails(cache, hub, "a/b:m-Q5.gguf", says=["no file 'm-Q5.gguf'", "m-Q4_K_M.gguf"])
        fails(cache, hub, "a/b:m-", says="may be 3 of its files")


def test_a_file_that_then_runs():
    """By the words that it was pulled by every command finds it, its picture part too, whatever types stand there."""
    def run(cache, hub, *arguments):
        return subprocess.run([str(COMMAND), *map(str, arguments)], capture_output=True, timeout=60,
                              env=environment(cache, hub, {}))

    red = MODEL / "examples" / "red-circle.png"
    with Cache() as cache:
        for kind in ("f16", "q8_0"):
            done = subprocess.run([str(COMMAND), "convert", "--type", kind, "--projector",
                                   cache.path / "mmproj-f16.gguf", MODEL.parent / "tiny-llava",
                                   cache.path / f"tiny-{kind}.gguf"], capture_output=True, timeout=60)
            assert done.returncode == 0, done.stderr
        files = {path.name: path.read_bytes() for path in cache.path.glob("*.gguf")}
        model = Model(files, large=files)
        assert len(model.files) == 3
        with Hub({"a/b": model}) as hub:
            asked = ["ask", "-t", "0", "-m", "a/b:F16", red, "What do you see?"]
            told = run(cache, hub, *asked)
            assert told.returncode == 1 and b"'paraphym pull a/b:F16' fetches it" in told.stderr, told.stderr
            pulls(cache, hub, "a/b:tiny-f16.gguf", "--projector")
            told = run(cache, hub, *asked)
            assert told.returncode == 0 and told.stdout == b"a large red circle in the centre\n", told
            told = run(cache, hub, "generate", "-m", "a/b:q8_0", "x")
            assert told.returncode == 1 and b"of GGUF there is" in told.stderr and b"tiny-f16.gguf" in told.stderr
            pulls(cache, hub, "a/b:q8_0")
            for word in ("q8_0", "f16"):
                told = run(cache, hub, "ask", "-t", "0", "-m", f"a/b:{word}", red, "What do you see?")
                assert told.returncode == 0 and b"circle" in told.stdout, told
            for command in (["generate", "--max-tokens", "2", "-m", "a/b:q8_0", "x"],
                            ["tokenize", "-m", "a/b:q8_0", "x"], ["models", "a/b:q8_0"],
                            ["bench", "vision", "--runs", "1", "-m", "a/b:F16"],
                            ["convert", "a/b:q8_0", cache.path / "again.gguf"]):
                told = run(cache, hub, *command)
                assert told.returncode == 0, (command, told.stderr)
            told = run(cache, hub, *asked, "--projector", "a/b:mmproj-f16.gguf")
            assert told.returncode == 0 and told.stdout == b"a large red circle in the centre\n", told
            told = run(cache, hub, *asked, "--projector", "a/b:mmproj-f32.gguf")
            assert told.returncode == 1 and b"'paraphym pull a/b:mmproj-f32.gguf' fetches it" in told.stderr, told
            told = run(cache, hub, "generate", "-m", "a/b:tiny", "x")
            assert told.returncode == 1 and b"may be 2 of its files" in told.stderr, told.stderr


def test_broken_off_and_gone_on_with():
    size = len(LARGE)
    for action in (cut(1000, times=3), cut(0, times=1), stall(70000)):
        model = Model({"config.json": b"{}", "model.safetensors": LARGE}, large=["model.safetensors"],
                      model_safetensors=action)
        with Cache() as cache, Hub({"a/b": model}) as hub:
            pulls(cache, hub, "a/b", "--stall", "1")
            assert cache.snapshot()["model.safetensors"] == LARGE and not cache.partials()
    # The next pull goes on as well, and asks for no byte twice.
    model.script["model_safetensors"] = cut(300000)
    with Cache() as cache, Hub({"a/b": model}) as hub:
        fails(cache, hub, "a/b", "--retries", "0", says="broke off after 300000 bytes")
        assert list(cache.partials().values()) == [LARGE[:300000]]
        assert not (cache.entry() / "snapshots").exists() and not (cache.entry() / "refs").exists()
        done = pulls(cache, hub, "a/b", "--json")
        assert json.loads(done.stdout)["fetched_bytes"] == size - 300000
        assert hub.ranges("model.safetensors")[-1] == "bytes=300000-"
    # A server that does not do parts sends it from the beginning.
    model.script["model_safetensors"] = cut(300000, ranges=False)
    with Cache() as cache, Hub({"a/b": model}) as hub:
        pulls(cache, hub, "a/b")
        assert cache.snapshot()["model.safetensors"] == LARGE
    # One that always breaks off at the same place is given up.
    model.script["model_safetensors"] = cut(300000, times=99, ranges=False)
    with Cache() as cache, Hub({"a/b": model}) as hub:
        fails(cache, hub, "a/b", "--retries", "1", says="broke off")


def test_stalled():
    def silent(handler, *_):
        handler.server.released.wait(60)

    model = Model({"config.json": b"{}", "model.safetensors": LARGE}, model_safetensors=silent)
    with Cache() as cache, Hub({"a/b": model}) as hub:
        fails(cache, hub, "a/b", "--stall", "1", "--retries", "0", says="nothing came for 1 seconds")


def test_what_an_earlier_pull_left():
    model = Model({"config.json": b"{}", "model.safetensors": LARGE}, large=["model.safetensors"])
    for left in (LARGE[:5000], LARGE, b"x" * 5000, LARGE + b"more", b""):
        with Cache() as cache, Hub({"a/b": model}) as hub:
            blobs = cache.entry() / "blobs"
            blobs.mkdir(parents=True)
            (blobs / f"{sha256(LARGE)}.incomplete").write_bytes(left)
            pulls(cache, hub, "a/b")
            assert cache.snapshot()["model.safetensors"] == LARGE and not cache.partials()
    # A whole file of the wrong size is none.
    with Cache() as cache, Hub({"a/b": model}) as hub:
        blobs = cache.entry() / "blobs"
        blobs.mkdir(parents=True)
        (blobs / sha256(LARGE)).write_bytes(b"short")
        pulls(cache, hub, "a/b")
        assert cache.snapshot()["model.safetensors"] == LARGE


def test_wrong_bytes_and_lying_lengths():
    def other(handler, content, count):
        file_whole(handler, content[:-1] + b"!", count)

    def longer(handler, content, count):
        file_whole(handler, content + b"and more", count)

    def endless(handler, content, count):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        piece = b"ffff\r\n" + b"x" * 0xffff + b"\r\n"
        while True:
            handler.wfile.write(piece)

    def shorter(handler, content, count):
        file_whole(handler, content, count, 10, announced=10)

    def elsewhere(handler, content, count):
        if handler.headers["Range"]:
            return handler.send(206, content[:50], {"Content-Range": f"bytes 0-49/{len(content)}"})
        file_whole(handler, content, count, 100)

    for action, says, kept in ((other, "is not what the hub has", False),
                               (longer, "sends more than the 1048576 bytes", False),
                               (endless, "sends more than the 1048576 bytes", False),
                               (shorter, "announces 10 bytes", False),
                               (elsewhere, "the server sends from 0", True)):
        for large in ((), ("model.safetensors",)):
            model = Model({"config.json": b"{}", "model.safetensors": LARGE}, large=large,
                          model_safetensors=action)
            with Cache() as cache, Hub({"a/b": model}) as hub:
                retries = "1" if action is elsewhere else "0"
                fails(cache, hub, "a/b", "--retries", retries, says=["model.safetensors: ", says])
                assert bool(cache.partials()) == kept, (action, cache.partials().keys())
                assert not (cache.entry() / "snapshots").exists()


def test_a_hub_that_tells_less():
    for tag, name in ((None, git_sha1(LARGE)), ('W/"some-tag"', "some-tag")):
        def tagged(handler, content, count, tag=tag):
            file_whole(handler, content, count, tag=tag)

        files = {"config.json": b"{}", "model.safetensors": LARGE, "tokenizer.model": b"t"}
        model = Model(files, large=["tokenizer.model"], tells=False, model_safetensors=tagged)
        with Cache() as cache, Hub({"a/b": model}) as hub:
            pulls(cache, hub, "a/b")
            assert cache.snapshot() == files
            assert (cache.entry() / "blobs" / name).exists()
            assert (cache.entry() / "blobs" / sha256(b"t")).exists()
    for tag in ('"../../x"', '""', '".hidden"'):
        model.script["model_safetensors"] = \
            lambda handler, content, count: file_whole(handler, content, count, tag=tag)
        with Cache() as cache, Hub({"a/b": model}) as hub:
            fails(cache, hub, "a/b", says="names no content (ETag)")


def test_hostile_names():
    for name in ("../../outside.gguf", "/outside.gguf", "a//outside.gguf", "a/./outside.gguf",
                 "a\\outside.gguf", "a\noutside.gguf", "a/../../outside.gguf", "x" * 300 + "outside.gguf"):
        with Cache() as cache, Hub({"a/b": Model({name: b"x"})}) as hub:
            fails(cache, hub, "a/b:outside", says="no name that may be written here")
            assert not cache.hub.exists() and not list(cache.path.rglob("*outside*"))
    index = json.dumps({"weight_map": {"t": "../../../outside.safetensors"}}).encode()
    model = Model({"model.safetensors.index.json": index, "config.json": b"{}",
                   "../../../outside.safetensors": b"x"})
    with Cache() as cache, Hub({"a/b": model}) as hub:
        fails(cache, hub, "a/b", says="no name that may be written here")
        fails(cache, hub, "a/b", "--revision", "../../../x", says="no revision")
        for wrong in ("../b", "a/b/c", "a b/c", "/etc", "a/.."):
            fails(cache, hub, wrong, says="no model's id")

    def lying(**changes):
        return lambda handler: handler.send(200, json.dumps(model.listing() | changes).encode())

    answers = ((lying(sha="../../x"), "no listing"), (lying(sha=""), "no listing"),
               (lying(siblings={}), "no listing"), (lying(siblings=[{}]), "a file without a name"),
               (lying(siblings=[{"rfilename": "a.safetensors", "size": -5}]), "size"),
               (lambda handler: handler.send(200, b"<html>"), "not valid JSON"),
               (lambda handler: handler.send(200, b"[" * 100000), "JSON"))
    for answer, says in answers:
        with Cache() as cache, Hub({"a/b": answer}) as hub:
            fails(cache, hub, "a/b", says=says)


def test_refusals():
    gated = lambda handler: handler.refuse(403, "GatedRepo")  # noqa: E731
    private = lambda handler: handler.refuse(401, "RepoNotFound")  # noqa: E731
    busy = lambda handler: handler.refuse(500, "")  # noqa: E731
    with Cache() as cache, Hub({"g/g": gated, "p/p": private, "busy": busy, "a/b": tiny()[0]}) as hub:
        fails(cache, hub, "g/g", says=["is gated", f"{hub.url}/g/g", "set HF_TOKEN"])
        fails(cache, hub, "g/g", HF_TOKEN="t", says=["is gated", "the account of your token"])
        fails(cache, hub, "p/p", says=["no such model, or a private", "HF_TOKEN"])
        fails(cache, hub, "p/p", HF_TOKEN="t", says=["takes this token not at all"])
        fails(cache, hub, "no/such", says="check the name")
        fails(cache, hub, "busy", says="answered 500")
        fails(cache, hub, "a/b", "--revision", "nope", says="has no revision 'nope'")
        fails(cache, hub, "a/b", HF_TOKEN="two words", says="the token")
        fails(cache, hub, says="which model", status=2)
        fails(cache, hub, "a/b", "c/d", says="one model at a time", status=2)
        fails(cache, hub, "a/b", "--stall", "0", says="--stall", status=2)
        assert not cache.hub.exists()
    with Cache() as cache:
        fails(cache, hub, "a/b", "--retries", "0", says="no connection")
        fails(cache, hub, "a/b", HF_HUB_CACHE="", HOME="", says="set HF_HUB_CACHE")


def test_a_full_disk():
    model = Model({"config.json": b"{}", "model.safetensors": LARGE}, large=["model.safetensors"])
    with Cache() as cache, Hub({"a/b": model}) as hub:
        def little():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (500000, 500000))

        fails(cache, hub, "a/b", preexec=little, says=["no room on the disk", "after 500000 bytes"])
        assert list(cache.partials().values()) == [LARGE[:500000]]
        pulls(cache, hub, "a/b")
        assert hub.ranges("model.safetensors")[-1] == "bytes=500000-"
        assert cache.snapshot()["model.safetensors"] == LARGE
    huge = Model({"config.json": b"{}", "model.safetensors": b""})
    listing = huge.listing()
    listing["siblings"][1]["size"] = 1 << 50
    with Cache() as cache, Hub({"a/b": lambda h: h.send(200, json.dumps(listing).encode())}) as hub:
        fails(cache, hub, "a/b", says=["1125899.91 GB more are needed", "HF_HUB_CACHE"])
    with Cache() as cache, Hub({"a/b": model}) as hub:
        cache.hub.write_text("a file where a folder is wanted")
        fails(cache, hub, "a/b", says="Not a directory")


def test_interrupted():
    model = Model({"config.json": b"{}", "model.safetensors": LARGE}, large=["model.safetensors"],
                  model_safetensors=stall(400000))
    with Cache() as cache, Hub({"a/b": model}) as hub:
        running = subprocess.Popen([str(COMMAND), "pull", "a/b"], stderr=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env=environment(cache, hub, {}))
        while [len(content) for content in cache.partials().values()] != [400000] or \
                not (cache.entry() / "blobs" / git_sha1(b"{}")).exists():
            assert running.poll() is None
            hub.changed.wait(0.05)
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=20)[1].decode()
        assert running.returncode == 1 and "it goes on from here" in said, said
        assert list(cache.partials().values()) == [LARGE[:400000]]
        pulls(cache, hub, "a/b")
        assert hub.ranges("model.safetensors")[-1] == "bytes=400000-"
        assert cache.snapshot()["model.safetensors"] == LARGE


def test_two_at_once():
    model = Model({"config.json": b"{}", "model.safetensors": LARGE, "tokenizer.model": LARGE},
                  large=["model.safetensors"])
    with Cache() as cache, Hub({"a/b": model}) as hub:
        running = [subprocess.Popen([str(COMMAND), "pull", "a/b"], stderr=subprocess.PIPE,
                                    stdout=subprocess.PIPE, env=environment(cache, hub, {}))
                   for _ in range(3)]
        for one in running:
            said = one.communicate(timeout=60)[1].decode()
            assert one.returncode == 0, said
        assert cache.snapshot()["model.safetensors"] == LARGE and not cache.partials()
        assert len(hub.ranges("model.safetensors")) == 2  # the redirect, and the file
    # A pull waits for who has the lock, and takes what that one fetched.
    with Cache() as cache, Hub({"a/b": model}) as hub:
        locks = cache.hub / ".locks" / "models--a--b"
        locks.mkdir(parents=True)
        with open(locks / f"{sha256(LARGE)}.lock", "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            waiting = subprocess.Popen([str(COMMAND), "pull", "a/b"], stderr=subprocess.PIPE,
                                       stdout=subprocess.PIPE, env=environment(cache, hub, {}))
            while not (cache.entry() / "blobs" / git_sha1(b"{}")).exists():
                hub.changed.wait(0.05)
            (cache.entry() / "blobs" / sha256(LARGE)).write_bytes(LARGE)
        said = waiting.communicate(timeout=60)[1].decode()
        assert waiting.returncode == 0, said
        assert not hub.ranges("model.safetensors")


def test_a_bar_on_a_terminal():
    tap.need_terminals()
    model = Model({"config.json": b"{}", "model.safetensors": LARGE}, large=["model.safetensors"])
    with Cache() as cache, Hub({"a/b": model}) as hub:
        ours, theirs = pty.openpty()
        running = subprocess.Popen([str(COMMAND), "pull", "a/b"], stderr=theirs,
                                   stdout=subprocess.PIPE, env=environment(cache, hub, {}))
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:
            pass  # the end of a terminal
        running.communicate(timeout=20)
        os.close(ours)
        assert running.returncode == 0 and b"100 %  2 of 2 files" in said, said
    with Cache() as cache, Hub({"a/b": model}) as hub:
        assert b"\r" not in pulls(cache, hub, "a/b").stderr


tap.run(sys.modules[__name__])
