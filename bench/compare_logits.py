"""How far each type of blocks leads from the same weights computed in f32, ours and llama.cpp's.

    compare_logits.py PROGRAM MODEL.gguf [--types Q8_0,...] [--peer "COMMAND"]

MODEL is a file of f16 or f32, in the current folder; --peer runs bench/peer_logits.py where llama.cpp is.
For each type llama-quantize makes a file of it. The logits behind prompts of several lengths are compared
with those that the program computes at --precision f32, which widens the same blocks exactly: the mean
taken off, the cosine, and the error as a share of their size. The mean over the prompts, and the worst;
of prompts of which llama-server tells nothing, none.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import subprocess

COUNT = 1000
TYPES = "Q8_0,Q4_0,Q4_1,Q5_0,Q5_1,Q2_K,Q3_K_M,Q4_K_M,Q5_K_M,Q6_K"
WORDS = ("The", "key", "is", "in", "kitchen", "Anna", "has", "a", "red", "ball", "and", "my", "dog", "Rex",
         "lives", "in", "Rome", "code", "47", "where", "who", "what", "blue", "of", "left", "picture")


def prompts():
    """Different words in each, 3 to 200 of them."""
    made, at = [], 1
    for length in (3, 8, 14, 25, 40, 64, 97, 150, 200):
        words = []
        for _ in range(length):
            at = (at * 75 + 74) % 65537
            words.append(WORDS[at % len(WORDS)])
        made.append(" ".join(words))
    return made


def ours(program, model, precision):
    found = []
    for prompt in prompts():
        ran = subprocess.run([program, "generate", "-m", model, "-t", "0", "--max-tokens", "1", "--json",
                              "--top-logits", str(COUNT), "--precision", precision, "--log", "off",
                              "--", prompt], stdout=subprocess.PIPE, check=True)
        found.append(next(line for line in map(json.loads, ran.stdout.splitlines())
                          if "top_logits" in line))
    return [{str(token): logit for token, logit in f["top_logits"]} for f in found]


def theirs(peer, model):
    ran = subprocess.run([*peer, "logits", model, str(COUNT)], stdout=subprocess.PIPE, check=True,
                         input="".join(json.dumps(p) + "\n" for p in prompts()).encode())
    return [json.loads(line) for line in ran.stdout.splitlines()]


def likeness(given, wanted):
    """(cosine, error) of two {token: logit}, over the tokens of both."""
    both = sorted(given.keys() & wanted.keys())
    a, b = ([side[t] for t in both] for side in (given, wanted))
    a, b = ([v - statistics.fmean(side) for v in side] for side in (a, b))
    dot, aa, bb = (sum(x * y for x, y in zip(*pair)) for pair in ((a, b), (a, a), (b, b)))
    return dot / (aa * bb) ** 0.5, (sum((x - y) ** 2 for x, y in zip(a, b)) / bb) ** 0.5


def told(pairs):
    cosines, errors = zip(*pairs)
    return (f"cosine {statistics.fmean(cosines):.6f}, worst {min(cosines):.6f}; "
            f"error {100 * statistics.fmean(errors):.2f} %")


def main(given):
    peer = shlex.split(given.peer)
    for kind in given.types.split(","):
        model = f"{pathlib.Path(given.model).stem}-{kind}.gguf"
        subprocess.run([*peer, "quantize", given.model, model, kind], check=True)
        exact = ours(given.program, model, "f32")
        mine, other = ours(given.program, model, "auto"), theirs(peer, model)
        pathlib.Path(model).unlink()
        told_of = [i for i, found in enumerate(other) if found]
        pairs = {who: [likeness(found[i], exact[i]) for i in told_of]
                 for who, found in (("ours", mine), ("llama.cpp", other))}
        for who, found in pairs.items():
            print(f"{kind:8} {who:10} {told(found)}")
        ratio = [o[1] / t[1] for o, t in zip(pairs["ours"], pairs["llama.cpp"])]
        print(f"{'':8} {'error':10} {statistics.fmean(ratio):.2f} of llama.cpp's "
              f"({min(ratio):.2f} to {max(ratio):.2f})", flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("program")
    arguments.add_argument("model")
    arguments.add_argument("--types", default=TYPES)
    arguments.add_argument("--peer", default="python3 bench/peer_logits.py")
    main(arguments.parse_args())
