"""Made-up weights from a name: the generator that tests/model/synthetic.c repeats."""
import numpy as np
import torch


def hash_name(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    return value


def noise(seed, count, mean, scale, period=0, spike=1.0):
    """Splitmix64; the sum of four 16-bit parts of each word is close enough to a normal."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = sum(((z >> np.uint64(s)) & low).astype(np.int64) for s in (0, 16, 32, 48))
    value = mean + scale * ((total - 131070).astype(np.float64) / 37837.0)
    if period:
        value[period // 2 :: period] *= spike
    return value.astype(np.float32)


def rounded(array, dtype):
    return torch.from_numpy(array).to(getattr(torch, dtype)).to(torch.float32)
