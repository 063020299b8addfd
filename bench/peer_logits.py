"""The logits that llama.cpp has behind prompts, for compare_logits.py.

    peer_logits.py quantize FROM TO TYPE      one GGUF file from another, by llama-quantize
    peer_logits.py logits MODEL COUNT         prompts as JSON strings, a line each, from standard input; of
                                              each the COUNT highest log-probabilities, {token: value}, or null
                                              where it tells none

It has llama-server compute them, one prompt at a time, nothing kept from one to the next.
"""
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, prompt, count):
    body = {"prompt": prompt, "n_predict": 1, "n_probs": count, "temperature": 0,
            "cache_prompt": False, "ignore_eos": True}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        said = json.load(answer)
    if "completion_probabilities" not in said:  # the first token ends the text or is no whole character
        return None
    found = said["completion_probabilities"][0]["top_logprobs"]
    return {str(p["id"]): p["logprob"] for p in found
            if p["logprob"] is not None and p["logprob"] > -1e4}


def wait(port, server):
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None:
                raise SystemExit("llama-server ended")
            time.sleep(0.1)
    raise SystemExit("llama-server does not answer")


def logits(model, count):
    port = free_port()
    server = subprocess.Popen(["llama-server", "-m", model, "--host", "127.0.0.1", "--port", str(port),
                               "-t", "1", "-c", "1024", "-np", "1"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        wait(port, server)
        for line in sys.stdin:
            print(json.dumps(ask(port, json.loads(line), count)), flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    if sys.argv[1] == "quantize":
        raise SystemExit(subprocess.run(["llama-quantize", *sys.argv[2:5], "2"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode)
    logits(sys.argv[2], int(sys.argv[3]))
