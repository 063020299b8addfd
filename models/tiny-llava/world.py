"""Finds the drawn world of the tiny CLIP (models/tiny), which this model sees through.

Import it before anything else of ours: one thread is fastest for models of this size, and large
blocks stay in the heap, in large pages, instead of going back to the system at every step.
"""
import importlib.util
import os
import pathlib
import sys

SETTINGS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
            "MALLOC_TOP_PAD_": str(1 << 27), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
if any(os.environ.get(k) != v for k, v in SETTINGS.items()) and sys.argv[0].endswith(".py"):
    os.environ.update(SETTINGS)
    os.execv(sys.executable, [sys.executable, *sys.argv])

HERE = pathlib.Path(__file__).resolve().parent
CLIP = HERE.parent / "tiny"
sys.path.append(str(CLIP))


def clip_script(name):
    """A script of the CLIP's folder that has a namesake here."""
    spec = importlib.util.spec_from_file_location("clip_" + name, CLIP / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
