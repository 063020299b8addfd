"""What the gguf package makes of blocks of weights: numbers from blocks of every type, and blocks of
Q8_0 and Q4_0 from numbers.

    python3 make_blocks.py       writes blocks.bin beside itself (needs numpy and gguf)

blocks.bin, little-endian, is a run of cases, each
    name       8 bytes, zero-padded: the type; with "<" before it where numbers became blocks
    elements   u32
    bytes      u32
    blocks     `bytes` bytes
    numbers    f32 [elements]
"""
import struct
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

TYPES = {  # where a block's f16 numbers stand; elements and bytes of a block; blocks
    "Q4_0": ([0], 32, 18, 4), "Q4_1": ([0, 2], 32, 20, 4), "Q5_0": ([0], 32, 22, 4),
    "Q5_1": ([0, 2], 32, 24, 4), "Q8_0": ([0], 32, 34, 4), "Q2_K": ([80, 82], 256, 84, 2),
    "Q3_K": ([108], 256, 110, 2), "Q4_K": ([0, 2], 256, 144, 2), "Q5_K": ([0, 2], 256, 176, 2),
    "Q6_K": ([208], 256, 210, 2),
}
rng = np.random.default_rng(5)


def case(name, blocks, numbers):
    blocks = blocks.astype(np.uint8).tobytes()
    numbers = numbers.astype("<f4").reshape(-1)
    return struct.pack("<8sII", name.encode(), len(numbers), len(blocks)) + blocks + numbers.tobytes()


def from_blocks(name):
    halves, elements, size, count = TYPES[name]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for row, block in enumerate(blocks):
        for at in halves:
            scale = np.float16(rng.standard_normal() * [1e-2, 3e-7][row == 1])  # one subnormal
            block[at:at + 2] = np.frombuffer(scale.tobytes(), np.uint8)
    return case(name, blocks, dequantize(blocks.reshape(-1), Type[name]))


def to_blocks(name):
    numbers = rng.standard_normal((24, 32)).astype(np.float32)
    numbers *= np.exp(rng.uniform(-12, 6, (24, 1))).astype(np.float32)
    numbers[3] = 0
    numbers[4] = np.arange(-16, 16) * 0.5  # ties
    numbers[5] = np.round(numbers[5] * 4) / 4
    numbers[6, 7] = 1e4
    return case("<" + name, quantize(numbers, Type[name]), numbers)


out = b"".join([from_blocks(name) for name in TYPES] + [to_blocks(name) for name in ("Q8_0", "Q4_0")])
Path(__file__).with_name("blocks.bin").write_bytes(out)
