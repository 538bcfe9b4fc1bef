"""The engine `silhouette` alone, warm: seconds of each part per preset, and the peak memory of its process.

    python benchmarks/silhouette.py [--runs 5] [--json FILE]

The cut-out is made once with rembg and is not counted (it is the same for every preset). `finish` is what the stage
`texture` does after the engine: the four views, the measurements and the GLB. Each preset runs in a process of its
own, so that the peak (proc(5), VmHWM) is its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PHOTO = ROOT / "examples" / "coffee.png"
REACH = {"draft": 0.8, "balanced": 1.0, "high": 2.0, "ultra": 3.0}
PARTS = ("geometry", "texture", "views", "analysis", "glb")


def main() -> int:
    """Measure every preset and print a table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--json", type=Path)
    options.add_argument("--preset", choices=tuple(REACH), help="one preset, in this process (JSON)")
    wanted = options.parse_args()
    if wanted.preset:
        print(json.dumps(preset(wanted.preset, wanted.runs)))
        return 0
    found: dict[str, Any] = {}
    for quality in REACH:
        command = [sys.executable, __file__, "--preset", quality, "--runs", str(wanted.runs)]
        found[quality] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    print(f"| preset | {' | '.join(PARTS)} | together, s (median) | min - max | reach | peak, MB |")
    print("|---|" + "---:|" * (len(PARTS) + 4))
    for quality, row in found.items():
        parts = " | ".join(f"{statistics.median(row['parts'][part]):.2f}" for part in PARTS)
        together = row["together"]
        print(
            f"| {quality} | {parts} | {statistics.median(together):.2f} | {min(together):.2f} - "
            f"{max(together):.2f} | {REACH[quality]} | {row['peak_mb']:.0f} |"
        )
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=2))
    return 0


def preset(quality: str, runs: int) -> dict[str, Any]:
    """One run that is not counted, then `runs` that are."""
    from PIL import Image

    from daemon.config import Config
    from daemon.engines import analysis, glb, views
    from daemon.engines.background import BackgroundRemover
    from daemon.engines.base import Order
    from daemon.engines.silhouette.engine import SilhouetteEngine
    from spool.settings import read

    config = read(Config)
    engine = SilhouetteEngine(BackgroundRemover(config.rembg_model, config.u2net_home))
    with Image.open(PHOTO) as photo:
        cutout = engine.cutout(photo.convert("RGB"), True, _silent).image
    engine.unload()
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    order = Order(quality, 0)
    for _ in range(runs + 1):
        marks = [time.perf_counter()]
        mesh = engine.geometry(cutout, order, _silent)
        marks.append(time.perf_counter())
        textured = engine.texture(mesh, cutout, order, _silent)
        marks.append(time.perf_counter())
        views.render_views(textured)
        marks.append(time.perf_counter())
        analysis.analyse(textured)
        marks.append(time.perf_counter())
        glb.write_glb(textured, {})
        marks.append(time.perf_counter())
        for part, before, after in zip(PARTS, marks, marks[1:], strict=False):
            seconds[part].append(after - before)
    counted = {part: times[1:] for part, times in seconds.items()}
    together = [sum(times) for times in zip(*counted.values(), strict=True)]
    return {"parts": counted, "together": together, "peak_mb": _peak() / 2**20}


def _silent(share: float, words: str) -> None:
    """Nobody watches."""


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main())
