"""SIGKILL before and after every call on the spool, in each process; then the real recovery, and every promise.

`python -m tests.crash.kill [--full]` prints its figures in the last line; exit code 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from tests.crash import quick_work
from tests.crash.ledger import expectations
from tests.crash.lives import LIVES
from tests.crash.recovery import Recovery, fast_folder, judged, ready
from tests.crash.scenes import SCENES, Scene, a_life

QUICK_STRIDE = 47
"""The quick form dies at every so many-th moment; the long one at each."""


def kills(scene: Scene, recovery: Recovery, first: int, stride: int) -> tuple[int, list[str]]:
    """Kill the scene's process at every `stride`-th moment until it lives to its end. Returns how often, and
    what was wrong then."""
    wrong: list[str] = []
    count, at = 0, first
    while True:
        with tempfile.TemporaryDirectory(dir=fast_folder()) as name:
            root = Path(name) / "base" / "spool"
            root.parent.mkdir()
            told, killed = scene(root, at, recovery)
            found = judged(recovery, root, expectations(told), quick_work.whole)
            wrong += [f"killed at {at}: {text}" for text in found]
        if not killed:
            return count, wrong
        count += 1
        at += stride


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="every moment, not every few")
    given = options.parse_args()
    stride = 1 if given.full else QUICK_STRIDE
    scenes: dict[str, Scene] = dict(SCENES)
    for life in LIVES if given.full else ():
        scenes[f"client and daemon by turns, {life.__name__}"] = partial(a_life, life)
    by_process: Counter[str] = Counter()
    wrong: list[str] = []
    with ready() as recovery:
        for number, (name, scene) in enumerate(scenes.items()):
            count, found = kills(scene, recovery, number % stride, stride)
            by_process[name.partition(",")[0]] += count
            wrong += [f"{name}: {text}" for text in found]
    for text in wrong:
        print(text)
    each = ", ".join(f"{name} {count}" for name, count in by_process.items())
    print(f"kill: {by_process.total()} kills ({each}), {len(wrong)} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
