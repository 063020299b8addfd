#!/usr/bin/env python3
"""Exact search of the peers, over the vectors that bench_memory --dump wrote.

    peer_memory.py faiss FILE D THREADS
    peer_memory.py sqlite-vec FILE D DATABASE EXTENSION      the database is made when it is not there

Prints "ready", then for each line "Q" the best ten of query Q: "MILLISECONDS NUMBER...". faiss is its flat
index of inner products; sqlite-vec a vec0 table of f32 with cosine distance, EXTENSION its vec0.so.
"""
import os
import sys
import time

import numpy as np


def read(path, d):
    return np.memmap(path, np.float32, "r").reshape(-1, d)


def faiss_search(vectors, threads):
    import faiss
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(vectors.shape[1])
    for start in range(0, len(vectors), 100000):
        index.add(np.ascontiguousarray(vectors[start:start + 100000]))
    return lambda query: index.search(query[None], 10)[1][0]


def sqlite_search(vectors, path, extension):
    import sqlite3
    new = not os.path.exists(path)
    db = sqlite3.connect(path)
    db.enable_load_extension(True)
    db.load_extension(extension)
    db.execute("pragma cache_size = -1000000")
    if new:
        db.execute(f"create virtual table v using vec0(e float[{vectors.shape[1]}] distance_metric=cosine)")
        db.executemany("insert into v(rowid, e) values (?, ?)",
                       ((i, v.tobytes()) for i, v in enumerate(vectors)))
        db.commit()
    return lambda query: [row[0] for row in db.execute(
        "select rowid from v where e match ? and k = 10 order by distance", (query.tobytes(),))]


def main():
    kind, path, d = sys.argv[1], sys.argv[2], int(sys.argv[3])
    vectors, queries = read(path, d), np.array(read(path + ".queries", d))
    search = (faiss_search(vectors, int(sys.argv[4])) if kind == "faiss"
              else sqlite_search(vectors, *sys.argv[4:6]))
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        found = search(queries[int(line)])
        print(f"{(time.perf_counter() - start) * 1e3:.3f}", *found, flush=True)


main()
