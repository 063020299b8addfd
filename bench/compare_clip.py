#!/usr/bin/env python3
"""Our picture tower beside ONNX Runtime's in f32, in one run.

    compare_clip.py BENCH_CLIP FOLDER [--peer "COMMAND"] [--rounds 7] [--batches 8,1] [--precision auto]

Both programs stay loaded and are asked in turn, so that whatever else the machine does meets both
alike; what is printed are the medians over the rounds of each one's time and of the rounds' ratios,
and the best time that each had, which a busy machine touches least.
FOLDER is relative, and the peer is started here. --peer runs peer_clip.py; the default is
"python3 bench/peer_clip.py".
"""
import argparse
import shlex
import statistics

from program import Program


def times(program, batch, repeats):
    return [float(word) for word in program.ask(batch, repeats).split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("folder")
    parser.add_argument("--peer", default="python3 bench/peer_clip.py")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", default="8,1")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--graph", default="plain")
    args = parser.parse_args()
    ours = Program([args.bench, args.folder, "--threads", args.threads, "--precision", args.precision])
    peer = Program([*shlex.split(args.peer), args.folder, "--threads", args.threads,
                    "--graph", args.graph])
    for batch in map(int, args.batches.split(",")):
        rounds = [(times(ours, batch, args.repeats), times(peer, batch, args.repeats))
                  for _ in range(args.rounds)]
        mine = statistics.median(a[0] for a, _ in rounds)
        theirs = statistics.median(b[0] for _, b in rounds)
        ratios = sorted(b[0] / a[0] for a, b in rounds)
        best = min(a[1] for a, _ in rounds), min(b[1] for _, b in rounds)
        print(f"batch {batch}: ours {mine:.1f} ms ({batch / mine * 1e3:.1f} img/s), "
              f"ONNX Runtime {theirs:.1f} ms ({batch / theirs * 1e3:.1f} img/s), "
              f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
              f"best {best[0]:.1f} and {best[1]:.1f} ms, ratio {best[1] / best[0]:.2f}", flush=True)


main()
