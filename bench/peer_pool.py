"""ONNX Runtime called one picture at a time from a thread pool: what people put in front of it today.

    peer_pool.py FOLDER PICTURE [--threads 2] [--graph plain|fused] [--prepared]

Reads lines "CALLERS SECONDS" from standard input and answers each with a JSON line as bench_pool
does; an empty line or the end of input ends it. Each caller decodes and prepares its picture with
Pillow and NumPy, runs the session on it, takes its vector to unit length, and goes on to the next;
all of that is timed. PICTURE is a file that `bench_pool --write` wrote; as there, every request gets
colours of its own. --prepared leaves out all but the session: one tensor, made before.
"""
import argparse
import io
import json
import os
import struct
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

import peer_clip

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
SCALE, SHIFT = 1 / (255 * STD), MEAN / STD


class Pictures:
    """A PNG with a palette, whose first colours are another's in every picture."""

    def __init__(self, path):
        self.bytes = path.read_bytes()
        self.palette = self.bytes.find(b"PLTE") + 4
        if self.palette < 4:
            raise SystemExit(f"peer_pool: {path} is no PNG with a palette")
        self.length = int.from_bytes(self.bytes[self.palette - 8:self.palette - 4], "big")

    def take(self):
        out = bytearray(self.bytes)
        at, end = self.palette, self.palette + self.length
        out[at:at + 8] = os.urandom(8)
        out[end:end + 4] = struct.pack(">I", zlib.crc32(out[at - 4:end]))
        return bytes(out)


def prepare(data, size):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    short = min(width, height)
    if short != size:
        image = image.resize((size * width // short, size * height // short), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    if image.size != (size, size):
        image = image.crop((left, top, left + size, top + size))
    pixels = np.asarray(image, np.float32)
    pixels *= SCALE
    pixels -= SHIFT
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


class Run:
    """One closed loop of `callers` threads for `seconds`."""

    def __init__(self, embed, callers, seconds):
        self.embed, self.callers, self.seconds = embed, callers, seconds
        self.gate = threading.Barrier(callers + 1)

    def call(self, _):
        times = []
        self.gate.wait()
        until = self.start + self.seconds
        while (before := time.perf_counter()) < until:
            self.embed()
            times.append((time.perf_counter() - before) * 1e3)
        return times, time.perf_counter()

    def measure(self):
        with ThreadPoolExecutor(self.callers) as pool:
            waiting = [pool.submit(self.call, i) for i in range(self.callers)]
            cpu, self.start = time.process_time(), time.perf_counter()
            self.gate.wait()
            ended = [w.result() for w in waiting]
        cpu = time.process_time() - cpu
        seconds = max(end for _, end in ended) - self.start
        times = np.sort(np.concatenate([times for times, _ in ended]))
        rank = {f"p{share}_ms": round(float(times[-(-share * len(times) // 100) - 1]), 2)
                for share in (50, 90, 99)}
        return {"callers": self.callers, "requests": len(times), "seconds": round(seconds, 3),
                "cpu_seconds": round(cpu, 3), "images_per_second": round(len(times) / seconds, 2),
                **rank, "max_ms": round(float(times[-1]), 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--graph", choices=["plain", "fused"], default="fused")
    parser.add_argument("--prepared", action="store_true")
    args = parser.parse_args()
    session, size = peer_clip.session(args.folder, args.threads, args.graph == "fused")
    pictures = Pictures(args.picture)
    ready = prepare(pictures.take(), size)

    def embed():
        pixels = ready if args.prepared else prepare(pictures.take(), size)
        vector = session.run(None, {"pixels": pixels})[0][0]
        return vector / np.linalg.norm(vector)

    embed()
    print("ready", flush=True)
    for line in sys.stdin:
        if not line.strip():
            break
        callers, seconds = line.split()
        print(json.dumps(Run(embed, int(callers), float(seconds)).measure()), flush=True)


if __name__ == "__main__":
    main()
