#!/usr/bin/env python3
"""Our text encoder beside ONNX Runtime's in f32, in one run.

    compare_text.py BENCH_TEXT FOLDER [--peer "COMMAND"] [--rounds 7] [--precision auto]
                    [--batches 32x128,32x8-256,1x16]

A batch is so many texts of so many tokens, or of lengths spread from the one to the other, which the peer
pads to the longest. Both programs stay loaded and are asked in turn, so that whatever else the machine does
meets both alike; what is printed are the medians over the rounds of each one's time and of the rounds'
ratios, and the best time that each had, which a busy machine touches least.
FOLDER is relative, and the peer is started here. --peer runs peer_text.py; the default is
"python3 bench/peer_text.py".
"""
import argparse
import shlex
import statistics

from program import Program


def times(program, batch, repeats):
    return [float(word) for word in program.ask(*batch, repeats).split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("folder")
    parser.add_argument("--peer", default="python3 bench/peer_text.py")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", default="32x128,32x8-256,1x16")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--graph", default="fused")
    args = parser.parse_args()
    ours = Program([args.bench, args.folder, "--threads", args.threads, "--precision", args.precision])
    peer = Program([*shlex.split(args.peer), args.folder, "--threads", args.threads, "--graph", args.graph])
    for name in args.batches.split(","):
        count, lengths = name.split("x")
        shortest, longest = (lengths.split("-") * 2)[:2]
        batch = int(count), int(shortest), int(longest)
        tokens = sum(batch[1] + i * (batch[2] - batch[1]) // max(batch[0] - 1, 1) for i in range(batch[0]))
        rounds = [(times(ours, batch, args.repeats), times(peer, batch, args.repeats))
                  for _ in range(args.rounds)]
        mine = statistics.median(a[0] for a, _ in rounds)
        theirs = statistics.median(b[0] for _, b in rounds)
        ratios = sorted(b[0] / a[0] for a, b in rounds)
        best = min(a[1] for a, _ in rounds), min(b[1] for _, b in rounds)
        print(f"{name}: ours {mine:.1f} ms ({tokens / mine * 1e3:.0f} tok/s), "
              f"ONNX Runtime {theirs:.1f} ms ({tokens / theirs * 1e3:.0f} tok/s), "
              f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
              f"best {best[0]:.1f} and {best[1]:.1f} ms, ratio {best[1] / best[0]:.2f}", flush=True)


main()
