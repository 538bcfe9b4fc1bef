"""The job of every other system: take the photo, sleep if asked to, leave a result that survives power loss."""

from __future__ import annotations

import os
import time
from pathlib import Path

RESULTS = "BENCH_RESULTS"
"""Environment variable of the workers: the folder in which results appear."""
REDIS = "BENCH_REDIS"
"""Environment variable of the workers: the socket of their Redis."""


def work(name: str, photo: bytes, seconds: float = 0.0) -> None:
    """Leave `<results>/<name>`, on the disk before its name is seen."""
    if seconds:
        time.sleep(seconds)
    results = Path(os.environ[RESULTS])
    aside = results.parent / f".{name}.aside"
    with aside.open("wb") as file:
        file.write(b"%d bytes" % len(photo))
        file.flush()
        os.fsync(file.fileno())
    aside.rename(results / name)
    descriptor = os.open(results, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
