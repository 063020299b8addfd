#!/usr/bin/env python3
"""The store's exact search beside faiss's flat index and sqlite-vec, in one run.

    compare_memory.py BENCH_MEMORY STORE VECTORS [--vec0 FILE] [--queries 30] [--threads 2] [--dimensions 512]

STORE and VECTORS are those of `bench_memory STORE --count N --dump VECTORS`. faiss and numpy are Debian's
(python3-faiss); sqlite-vec's extension vec0.so is in the npm package sqlite-vec-linux-x64. Each query is put
to all in turn; printed are the medians of the times and of the ratios, and our recall: which share of faiss's
ten are among ours.
"""
import argparse
import statistics
import sys

from program import Program


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("store")
    parser.add_argument("vectors")
    parser.add_argument("--vec0")
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--dimensions", default="512")
    parser.add_argument("--python", default=sys.executable)
    args = parser.parse_args()
    script = [args.python, __file__.replace("compare_memory", "peer_memory")]
    programs = {"ours": Program([args.bench, args.store, "--dimensions", args.dimensions]),
                "faiss": Program([*script, "faiss", args.vectors, args.dimensions, args.threads])}
    if args.vec0:
        programs["sqlite-vec"] = Program([*script, "sqlite-vec", args.vectors, args.dimensions,
                                          args.vectors + ".sqlite-vec", args.vec0])
    times = {name: [] for name in programs}
    found = 0
    for query in range(args.queries):
        best = {}
        for name, program in programs.items():
            words = ("vectors", query) if name == "ours" else (query,)
            took, *numbers = program.ask(*words).split()
            times[name].append(float(took))
            best[name] = set(numbers)
        found += len(best["ours"] & best["faiss"])
    for name, took in times.items():
        ratios = sorted(t / o for t, o in zip(took, times["ours"]))
        print(f"{name}: {statistics.median(took):.1f} ms, {statistics.median(ratios):.2f} times ours "
              f"({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"recall {found / 10 / args.queries:.4f}")


main()
