#!/usr/bin/env python3
"""Our service beside ONNX Runtime called picture by picture from a thread pool, in one run.

    compare_pool.py BENCH_POOL FOLDER [--peer "COMMAND"] [--callers 1,8,64] [--rounds 5] [--seconds 6]

Both programs stay loaded and are asked in turn, so that whatever else the machine does meets both
alike. For each number of callers: the medians over the rounds of pictures a second and of p50 and
p99, the ratio of the rounds' pictures a second, and the same per second of processor time, which a
busy machine touches least. Then what more callers bring each, and, for ours, p99 over the time of
a batch. FOLDER is relative, and the peer is started here: it must see the same folder, in which the
picture is left for it. --peer runs peer_pool.py; the default is "python3 bench/peer_pool.py".
--prepared spares the peer, not us, the decoding.
"""
import argparse
import json
import shlex
import statistics
import subprocess
from pathlib import Path

from program import Program


def median(runs, value):
    return statistics.median(value(run) for run in runs)


def speed(run):
    return run["images_per_second"]


def thrift(run):
    return run["requests"] / run["cpu_seconds"]


def spread(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def describe(name, runs):
    return (f"{name} {median(runs, speed):.1f} img/s (best {max(map(speed, runs)):.1f}), p50 {median(runs, lambda r: r['p50_ms']):.0f}, "
            f"p99 {median(runs, lambda r: r['p99_ms']):.0f} ms, {median(runs, thrift):.1f} img/cpu-s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("folder")
    parser.add_argument("--peer", default="python3 bench/peer_pool.py")
    parser.add_argument("--callers", default="1,8,64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--size", default="224x224")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--graph", default="plain")
    parser.add_argument("--prepared", action="store_true")
    parser.add_argument("--batch", type=int, default=16, help="pictures in our largest batch")
    args = parser.parse_args()
    picture = Path(args.folder) / f"bench-{args.size}.png"
    subprocess.run([args.bench, "--size", args.size, "--write", picture], check=True)
    ours = Program([args.bench, args.folder, "--ask", "--size", args.size, "--threads", args.threads,
                    "--precision", args.precision])
    peer = Program([*shlex.split(args.peer), args.folder, str(picture), "--threads", args.threads,
                    "--graph", args.graph, *["--prepared"] * args.prepared])
    callers = [int(n) for n in args.callers.split(",")]
    # Every round goes through all numbers, so that those too are compared within a round.
    rounds = []
    for number in range(args.rounds):
        rounds.append({n: tuple(json.loads(program.ask(n, args.seconds)) for program in (ours, peer))
                       for n in callers})
        print(f"round {number + 1}: " + "; ".join(
            f"{n}: {speed(a):.1f} and {speed(b):.1f} img/s" for n, (a, b) in rounds[-1].items()),
            flush=True)
    for n in callers:
        mine, theirs = [r[n][0] for r in rounds], [r[n][1] for r in rounds]
        print(f"{n} callers: {describe('ours', mine)}; {describe('ONNX Runtime', theirs)}; ratio "
              + spread([speed(a) / speed(b) for a, b in zip(mine, theirs)]) + ", per cpu-second "
              + spread([thrift(a) / thrift(b) for a, b in zip(mine, theirs)]))
    most = callers[-1]
    for place, name in enumerate(["ours", "ONNX Runtime"]):
        print(f"{most} callers to {callers[0]}, {name}: "
              + spread([speed(r[most][place]) / speed(r[callers[0]][place]) for r in rounds]))
    best = [[max(speed(r[n][place]) for r in rounds) for n in callers] for place in (0, 1)]
    print("best rounds, ours to ONNX Runtime's: "
          + ", ".join(f"{n}: {a / b:.2f}" for n, a, b in zip(callers, *best))
          + f"; {most} callers to {callers[0]}: {best[0][-1] / best[0][0]:.2f}"
          f" and {best[1][-1] / best[1][0]:.2f}")
    batches = [r[most][0]["p99_ms"] * speed(r[most][0]) / args.batch / 1e3 for r in rounds]
    print(f"{most} callers, ours: p99 in times of a batch of {args.batch}: {spread(batches)}")


if __name__ == "__main__":
    main()
