"""paraphym chat and paraphym config from outside: through pipes, and on a terminal.

    test_chat.py PARAPHYM SOURCE_ROOT
"""

import http.server
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time

COMMAND, ROOT = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
EXAMPLES = ROOT / "models" / "tiny" / "examples"
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import tap  # noqa: E402
from byte_model import language_model  # noqa: E402


class Home:
    """A user's folder of the test's own, with a model whose tokens are bytes."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="pph-chat-"))
        self.model = language_model(self.path / "bytes", context=4096)
        self.environment = {k: v for k, v in os.environ.items()
                            if not k.startswith(("PARAPHYM_", "XDG_")) and not k.lower().endswith("_proxy")}
        self.environment |= {"HOME": str(self.path), "HF_HUB_CACHE": "/no/such/cache", "TERM": "xterm"}
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def run(self, *arguments, stdin="", **variables):
        done = subprocess.run([str(COMMAND), *map(str, arguments)], input=stdin.encode(), capture_output=True,
                              env=self.environment | {k: str(v) for k, v in variables.items()}, timeout=120)
        assert done.returncode in (0, 1, 2), f"{arguments}: {done.returncode} {done.stderr.decode()}"
        return done

    def chat(self, *arguments, stdin="", **variables):
        return self.run("chat", "-m", self.model, "--template", "vicuna", "-t", "0", "--max-tokens", "8",
                        *arguments, stdin=stdin, **variables)

    def turns(self, *arguments, **options):
        done = self.chat("--json", *arguments, **options)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith("{")]

    def export(self):
        """All memories of the store."""
        out = self.path / "export.jsonl"
        done = self.chat(stdin=f"/export {out}\n")
        assert done.returncode == 0, done.stderr.decode()
        return [row["memory"] for row in map(json.loads, out.read_text().splitlines()) if "memory" in row]

    def fails(self, *arguments, says, status=1, **options):
        done = self.run(*arguments, **options)
        said = done.stderr.decode()
        assert done.returncode == status and said.splitlines()[-1 - (status == 2)].startswith("paraphym: "), said
        for word in says if isinstance(says, list) else [says]:
            assert word in said, f"{word!r} is not in {said!r}"


def test_told_in_one_process_and_asked_in_another():
    with Home() as home:
        told, = home.turns("--message", "My dog is called Rex.", "--no-interactive")
        assert told["memories"] == [] and told["stored"] and "store_error" not in told
        asked, alone = home.turns("--message", "How is my dog called?", "--no-interactive") + \
            home.turns("--message", "How is my dog called?", "--no-interactive", "--no-memory")
        memory, = asked["memories"]
        assert memory["id"] == told["stored"] and memory["text"].startswith("User: My dog is called Rex. Assistant:")
        line = f"[Relevance: {memory['relevance']:.2f}] {memory['text']}"
        block = f"# Relevant Context from Memory:\n{line}\n\n"
        assert asked["prompt_tokens"] - alone["prompt_tokens"] == len(block.encode())
        assert alone["memories"] == [] and "stored" not in alone
        # It is the answer to that very prompt.
        prompt = f"USER: {block}How is my dog called? ASSISTANT:"
        done = home.run("generate", "-m", home.model, "-t", "0", "--max-tokens", "8", "--json", prompt)
        assert json.loads(done.stdout)["answer"] == asked["answer"]
        assert (home.path / ".local/share/paraphym/memory.db").stat().st_mode & 0o077 in (0, 0o044)


def test_the_built_in_models_remember():
    with Home() as home:
        for fact in ("Anna has a red ball.", "The key is in the kitchen."):
            told = home.run("chat", "-t", "0", "--no-interactive", "--message", fact)
            assert told.returncode == 0 and told.stderr.count(b"built-in demo model (tiny-llava") == 1, told.stderr
        for question, answer in (("Who has the ball?", b"Anna\n"), ("Where is the key?", b"in the kitchen\n")):
            said = home.run("chat", "-t", "0", "--no-interactive", "--message", question)
            assert said.stdout == answer, said
        said = home.run("ask", "-t", "0", EXAMPLES / "heart-and-ring.png", "What colour is the ring?")
        assert said.stdout == b"black\n", said
        again = home.run("chat", "-t", "0", "-v", "--no-memory",
                         stdin=f"/image {EXAMPLES / 'heart-and-ring.png'}\nWhat colour is the ring?\nWhere is the heart?\n")
        assert b"black\n" in again.stdout and b"top right\n" in again.stdout, again


def test_a_picture_part_that_is_named():
    with Home() as home:
        sees, eyes = home.path / "sees.gguf", home.path / "eyes" / "other.gguf"
        eyes.parent.mkdir()
        done = home.run("convert", ROOT / "models" / "tiny-llava", sees, "--projector", eyes)
        assert done.returncode == 0, done.stderr
        shown = f"/image {EXAMPLES / 'heart-and-ring.png'}\nWhat colour is the ring?\n"
        chat = ["chat", "-t", "0", "--no-memory", "-m", sees]
        said = home.run(*chat, "--projector", eyes, stdin=shown)
        assert said.returncode == 0 and b"black\n" in said.stdout, said
        said = home.run(*chat, stdin=shown)
        assert said.returncode == 1 and b"no picture part" in said.stderr, said
        said = home.run(*chat, "--projector", home.path / "no.gguf", stdin=shown)
        assert said.returncode == 1 and b"no.gguf" in said.stderr, said
        # It is the first model's: another has its own, or none.
        said = home.run(*chat, "--projector", eyes, stdin=f"/model {ROOT / 'models' / 'tiny-llava'}\n" + shown)
        assert said.returncode == 0 and b"black\n" in said.stdout, said


def test_a_conversation_through_a_pipe():
    with Home() as home:
        said = home.turns("--no-memory", stdin="hello\n\n  \n//slash\nagain")
        assert [turn["turns"] for turn in said] == [0, 1, 2]
        assert said[2]["reused_tokens"] > 0
        plain = home.chat("--no-memory", stdin="hello\n")
        assert plain.stdout.decode() == said[0]["answer"] + "\n" and b">" not in plain.stdout
        system, = home.turns("--no-memory", "-s", "Be brief.", "-r", "a cook", stdin="hello\n")
        assert system["prompt_tokens"] == said[0]["prompt_tokens"] + len("You are a cook.\nBe brief. ")
        prompt = home.path / "prompt.txt"
        prompt.write_text("Be brief.\n")
        again, = home.turns("--no-memory", "-s", prompt, "-r", "a cook", stdin="hello\n")
        assert again["prompt_tokens"] == system["prompt_tokens"] and again["answer"] == system["answer"]


def test_commands():
    with Home() as home:
        saved, out = home.path / "saved.json", home.path / "all.jsonl"
        done = home.chat(stdin=f"""/help
/remember The key is in the kitchen.
/remember The key is in the kitchen.
/search key
hello there
/history
/save {saved}
/system Be brief.
/system none
/temperature 0.5
/tokens 3
/tokens
/model
/memories
/export {out}
/forget 1
/clear
/history
/exit
never said
""")
        said = done.stdout.decode()
        assert done.returncode == 0, done.stderr.decode()
        for words in ("/remember TEXT", "remembered: ", "known already: ", "The key is in the kitchen.", "> hello there",
                      "2 messages saved", "system: Be brief.", "system: (nothing)", "temperature: 0.5",
                      "at most: 3\ntokens of an answer at most: 3", f"model: {home.model}", "2 memories written",
                      "forgotten: ", "begins anew"):
            assert words in said, f"{words!r} is not in {said!r}"
        assert "never said" not in said and said.endswith("begins anew\n")
        history = json.loads(saved.read_text())
        assert [m["role"] for m in history["messages"]] == ["user", "assistant"]
        assert history["messages"][0]["content"] == "hello there"
        assert len(out.read_text().splitlines()) >= 2
        other = home.chat("--store", home.path / "other.db", stdin=f"/import {out}\n/memories\n")
        assert "2 new memories" in other.stdout.decode() and "The key is" in other.stdout.decode()
        left = home.chat(stdin="/memories\n").stdout.decode()
        assert "The key is" in left and "hello there" not in left  # the newest was forgotten


def test_wrong_commands_are_told_and_the_chat_goes_on():
    with Home() as home:
        wrong = ["/nothing", "/temperature warm", "/temperature -1", "/tokens 0", "/tokens 3x", "/image nothing.png",
                 "/forget 99", "/forget", "/save", "/exit now", "/import /no/such/file", "/model no/such/model",
                 "/system /no/such/file", f"/image {home.model / 'config.json'}"]
        done = home.chat(stdin="\n".join(wrong) + "\n/tokens 4\nhello\n")
        told = [line for line in done.stderr.decode().splitlines()
                if line.startswith("paraphym: ") and "demo model" not in line]
        assert done.returncode == 1 and len(told) == len(wrong), told
        assert "at most: 4" in done.stdout.decode() and len(done.stdout.decode().splitlines()[-1]) >= 1
        done = home.chat("--no-memory", stdin="/search x\n")
        assert done.returncode == 1 and b"needs a memory" in done.stderr


def test_wrong_usage():
    with Home() as home:
        for arguments, says in ((["-t", "warm"], "warm"), (["--max-tokens", "0"], "max-tokens"), (["hello"], "--message"),
                                (["--memory-read-timeout", "5s"], "5s"), (["-t", "-1"], "-1"),
                                (["--no-memory", "-d", "x y"], "--no-memory")):
            home.fails("chat", "-m", home.model, *arguments, says=says, status=2)
        home.fails("chat", "-m", home.model, "-s", "/no/such/prompt.txt", says="/no/such/prompt.txt")
        home.fails("chat", "-m", home.model, "-d", "/no/such/folder", says="/no/such/folder")
        home.fails("chat", "-m", home.model, "-d", "nothing.md", says="nothing.md")
        home.fails("chat", "-m", home.model, says="PARAPHYM_MEMORY_TIMEOUT_MS", PARAPHYM_MEMORY_TIMEOUT_MS="soon")
        # Without a form the model's own is wanted, which it has not.
        done = home.run("chat", "-m", home.model, "--no-memory", stdin="hi\n")
        assert done.returncode == 1 and b"--template" in done.stderr


class Server:
    def __enter__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = self.path == "/notes.txt"
                body = b"The archive is in the cellar." if found else b"none"
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_documents():
    with Home() as home, Server() as server:
        folder = home.path / "docs"
        (folder / "inner").mkdir(parents=True)
        (folder / "hidden").mkdir()
        (folder / ".git").mkdir()
        sentences = [f"Sentence number {i} tells of the thing called thing{i}." for i in range(60)]
        (folder / "long.md").write_text(" ".join(sentences))
        (folder / "inner" / "short.txt").write_text("The lighthouse stands on the hill.\n")
        (folder / "inner" / "draft.txt").write_text("not this one")
        (folder / "inner" / ".gitignore").write_text("draft*\n")
        (folder / "hidden" / "a.txt").write_text("nor this one")
        (folder / ".git" / "b.txt").write_text("nor that one")
        (folder / ".gitignore").write_text("# what is passed over\n/hidden/\n*.txt\n!short.txt\n")
        (folder / "code.c").write_text("int main(void);")
        (folder / "broken.txt").write_bytes(b"\xff\xfe")
        shutil.copy(EXAMPLES / "red-circle.png", folder)
        done = home.chat("-d", folder, "-d", server.url + "notes.txt", "-d", "The shop opens at nine.",
                         "--no-interactive")
        assert done.returncode == 0, done.stderr.decode()
        rows = home.export()
        texts = {m["text"]: m for m in rows if m.get("text")}
        assert "The lighthouse stands on the hill." in texts and "The archive is in the cellar." in texts
        assert "The shop opens at nine." in texts and not any("this one" in t or "that one" in t for t in texts)
        assert texts["The archive is in the cellar."]["source"] == server.url + "notes.txt"
        assert texts["The lighthouse stands on the hill."]["source"] == str(folder / "inner" / "short.txt")
        pieces = [t for t, m in texts.items() if m.get("source") == str(folder / "long.md")]
        assert len(pieces) >= 4 and all(len(p) <= 480 for p in pieces)
        assert all(any(s in p for p in pieces) for s in sentences)
        assert sum(len(p) for p in pieces) > len(" ".join(sentences))  # they overlap
        assert all(m["kind"] == "semantic" and m["tags"] == ["document"] for m in rows)
        assert any(m.get("picture_path") == str(folder / "red-circle.png") for m in rows)
        again = home.chat("-d", folder, "--no-interactive")
        assert again.returncode == 0 and len(home.export()) == len(rows)  # nothing is kept twice
        (folder / ".gitignore").unlink()
        broken = home.chat("-d", folder, "--no-interactive")
        assert broken.returncode == 1 and b"broken.txt" in broken.stderr
        asked, = home.turns("--message", "The lighthouse stands on the hill", "--no-interactive")
        assert any("lighthouse stands on the hill" in m["text"] for m in asked["memories"])
        home.fails("chat", "-m", home.model, "-d", server.url + "none", "--no-interactive", says="404")


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, home, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(str(COMMAND), [str(COMMAND), "chat", "-m", str(home.model), "--template", "vicuna", "-t", "0",
                                     *arguments], home.environment)
        self.seen = ""

    def await_text(self, words, after=0):
        deadline = time.monotonic() + 60
        while words not in self.seen[after:]:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"{words!r} is not in {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended: {self.seen!r}")
        return self.seen.index(words, after) + len(words)

    def await_prompt(self, after):
        """Until a line can be typed: libedit takes the terminal over once it reads, a moment behind its prompt, and
        till then the terminal itself would take a control key."""
        at, deadline = self.await_text("> ", after), time.monotonic() + 60
        while termios.tcgetattr(self.fd)[3] & termios.ECHO:
            assert time.monotonic() < deadline, f"no line is read: {self.seen!r}"
            time.sleep(0.005)
        return at

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        while True:
            assert select.select([self.fd], [], [], 60)[0], f"it does not end: {self.seen!r}"
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return status


def test_a_terminal():
    tap.need_terminals()
    with Home() as home:
        chat = Terminal(home, "--max-tokens", "3000", "--no-memory")
        at = chat.await_prompt(0)
        chat.type("/tokens 5\r")
        at = chat.await_text("at most: 5", at)
        at = chat.await_prompt(at)
        chat.type("dropped")
        at = chat.await_text("dropped", at)
        chat.type("\x03")  # Ctrl-C drops the line
        at = chat.await_text("^C", at)
        at = chat.await_prompt(at)
        chat.type("/histori\x7f\x7f\x7fory\r")  # editing
        at = chat.await_prompt(at)
        chat.type("/tokens 3000\r")
        at = chat.await_text("at most: 3000", at)
        at = chat.await_prompt(at)
        chat.type("go on\r")
        at = chat.await_text("go on\r\n", at)
        while len(chat.seen) < at + 20:  # the answer has begun
            assert select.select([chat.fd], [], [], 60)[0], chat.seen
            chat.seen += os.read(chat.fd, 65536).decode(errors="replace")
        chat.type("\x03")  # Ctrl-C stops it, and not the program
        at = chat.await_text("(stopped)", at)
        at = chat.await_prompt(at)
        chat.type("/history\r/tokens 6\r")
        at = chat.await_text("at most: 6", at)
        assert "go on" not in chat.seen[at - 40:at]
        at = chat.await_prompt(at)
        chat.type("\x04")  # Ctrl-D leaves
        assert chat.end() == 0
        chat = Terminal(home, "--no-memory")
        at = chat.await_prompt(0)
        chat.type("\x1b[A\r")  # what was typed before is there
        at = chat.await_text("at most: 6", at)
        at = chat.await_prompt(at)
        chat.type("\x04")
        assert chat.end() == 0
        kept = home.path / ".local/share/paraphym/history"
        assert kept.stat().st_mode & 0o077 == 0 and "dropped" not in kept.read_text()


def test_config():
    with Home() as home:
        def shown(*arguments, **variables):
            done = home.run("config", "--json", *arguments, **variables)
            assert done.returncode == 0, done.stderr.decode()
            return {row["key"]: (row["value"], row["source"]) for row in map(json.loads, done.stdout.splitlines())}

        assert shown()["max_tokens"] == (512, "default") and shown()["model"] == (None, "default")
        place = home.path / ".config" / "paraphym"
        place.mkdir(parents=True)
        file = place / "config.json"
        file.write_text(json.dumps({"max_tokens": 7, "threads": 1, "temperature": 0.5, "model": str(home.model),
                                    "log": "error", "memory_read_timeout": 900}))
        rows = shown("--threads", "2", PARAPHYM_MAX_TOKENS=9, PARAPHYM_LOG="off")
        assert rows["max_tokens"] == (9, "environment") and rows["log"] == ("off", "environment")
        assert rows["threads"] == (2, "flag") and rows["temperature"] == (0.5, "file")
        assert rows["model"] == (str(home.model), "file") and rows["memory_read_timeout"] == (900, "file")
        assert str(file) in home.run("config").stdout.decode()
        # They hold: the model and the tokens of a chat without an option.
        done = home.run("chat", "--no-memory", "--template", "vicuna", "--json", stdin="hi\n")
        assert json.loads(done.stdout)["completion_tokens"] <= 7, done.stderr
        done = home.run("generate", "--max-tokens", "3", "x")
        assert done.returncode == 0, done.stderr
        other = home.path / "other.json"
        other.write_text('{"store": "/elsewhere/memory.db"}')
        assert shown("--config", other)["store"] == ("/elsewhere/memory.db", "file")
        assert shown("--config", other)["max_tokens"] == (512, "default")
        assert shown(PARAPHYM_CONFIG=other)["store"] == ("/elsewhere/memory.db", "file")
        for text, says in (('{"max_token": 1}', ["max_token'", "max_tokens"]), ('{"max_tokens": "7"}', "number"),
                           ('{"max_tokens": 0}', "1 to"), ('{"model": 3}', "quotes"), ("[]", "object"), ("{", "other.json"),
                           ('{"temperature": -1}', "temperature")):
            other.write_text(text)
            home.fails("config", "--config", other, says=says)
        home.fails("config", "--config", home.path / "none.json", says="none.json")
        home.fails("config", says="PARAPHYM_MAX_TOKENS", PARAPHYM_MAX_TOKENS="many")
        home.fails("config", "more", says="more", status=2)


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
tap.run(sys.modules[__name__])
