"""Imported before numpy and torch: a model of this size is fastest on one thread, and several
threads on busy cores are slower by far."""
import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
