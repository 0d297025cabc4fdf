"""One thread a process, set before torch is imported; the notebooks' kernels inherit it."""

import gc
import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")


def pytest_collection_finish():
    """What was collected stays to the end: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()
