"""The engine `silhouette` alone, warm: seconds of each part per preset and per megapixel, and the peak of its memory.

    python -m benchmarks.silhouette [--full]

Each preset, and each size of photo, runs in a process of its own, so that the peak (proc(5), VmHWM) is its own. The
cut-out is made anew in every round. What is held against its reach is what the engine makes of a cut-out, with the
four views, the measurements and the GLB that the stages make of its model.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.figures import Curve, Figure, Plot, Section
from benchmarks.idle import PHOTO, WEIGHTS
from tests.service import ROOT

REACH = {"draft": 0.8, "balanced": 1.0, "high": 2.0, "ultra": 3.0}
VIEWS = 0.3
PEAK = 1000.0
PARTS = ("cutout", "geometry", "texture", "views", "analysis", "glb")
MEGAPIXELS = (0.5, 1.0, 2.0, 4.0, 8.0)
ROUNDS = {True: 9, False: 3}
MB = 1e6


def measure(full: bool) -> Section:
    """Every preset with the example photo, then every size with the default preset."""
    presets = {quality: apart(quality, None, ROUNDS[full]) for quality in REACH}
    sizes = {size: apart("high", size, ROUNDS[full]) for size in MEGAPIXELS}
    figures = [
        Figure(f"{quality}: cut-out to model and views", "s", together(row), REACH[quality])
        for quality, row in presets.items()
    ]
    figures += [
        Figure(f"{quality}: the four views", "s", row["parts"]["views"], VIEWS)
        for quality, row in presets.items()
    ]
    figures += [
        Figure(f"{quality}: peak memory", "MB", [row["peak"] / MB], PEAK) for quality, row in presets.items()
    ]
    figures += [
        Figure(f"{quality}: {part}", "s", row["parts"][part])
        for quality, row in presets.items()
        for part in PARTS
        if part != "views"
    ]
    whole = {
        size: [sum(times) for times in zip(*row["parts"].values(), strict=True)]
        for size, row in sizes.items()
    }
    figures += [
        Figure(f"{size:g} megapixels, high, with the cut-out", "s", times) for size, times in whole.items()
    ]
    figures += [
        Figure(f"{size:g} megapixels, high: peak memory", "MB", [row["peak"] / MB])
        for size, row in sizes.items()
    ]
    medians = {size: statistics.median(times) for size, times in whole.items()}
    # 1 where twice the pixels take twice the time, 0 where they take no longer.
    steepest = max(
        math.log(medians[more] / medians[less]) / math.log(more / less) for less, more in pairwise(MEGAPIXELS)
    )
    figures.append(Figure("time grows with the pixels to the power of, at the steepest", "", [steepest], 1.0))
    curves = [
        Curve(part, MEGAPIXELS, [statistics.median(row["parts"][part]) for row in sizes.values()])
        for part in PARTS
    ]
    curves.append(Curve("together", MEGAPIXELS, list(medians.values())))
    plot = Plot("pixels", "Photo to model, preset high", "megapixels", "s", curves, log_x=True, log_y=True)
    how = (
        f"Warm, {os.cpu_count()} cores, {PHOTO.name} (0.24 megapixels) and larger copies of it; the median of "
        f"{ROUNDS[full]} rounds after one that is not counted."
    )
    return Section("silhouette", "Silhouette engine", how, figures, [plot])


def together(row: dict[str, Any]) -> list[float]:
    """Seconds of each round, without the cut-out."""
    return [
        sum(times) for times in zip(*(row["parts"][part] for part in PARTS if part != "cutout"), strict=True)
    ]


def apart(quality: str, megapixels: float | None, rounds: int) -> dict[str, Any]:
    """`preset` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.silhouette", "--preset", quality, "--rounds", str(rounds)]
    if megapixels:
        command += ["--megapixels", str(megapixels)]
    environ = {**os.environ, "U2NET_HOME": str(WEIGHTS)}
    told: dict[str, Any] = json.loads(
        subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True).stdout
    )
    return told


def preset(quality: str, megapixels: float | None, rounds: int) -> dict[str, Any]:
    """One round that is not counted, then `rounds` that are."""
    from PIL import Image

    from daemon.config import Config
    from daemon.engines import analysis, glb, views
    from daemon.engines.background import BackgroundRemover
    from daemon.engines.base import Order
    from daemon.engines.silhouette.engine import SilhouetteEngine
    from spool.settings import read

    config = read(Config)
    engine = SilhouetteEngine(BackgroundRemover(config.rembg_model, config.u2net_home))
    with Image.open(PHOTO) as picture:
        photo = picture.convert("RGB")
    if megapixels:
        scale = math.sqrt(megapixels * 1e6 / (photo.width * photo.height))
        photo = photo.resize(
            (round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS
        )
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    order = Order(quality, 0)
    for _ in range(rounds + 1):
        marks = [time.perf_counter()]
        cutout = engine.cutout(photo, True, _silent).image
        marks.append(time.perf_counter())
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
        for part, (before, after) in zip(PARTS, pairwise(marks), strict=True):
            seconds[part].append(after - before)
    return {"parts": {part: times[1:] for part, times in seconds.items()}, "peak": _peak()}


def _silent(share: float, words: str) -> None:
    """Nobody watches."""


def _peak() -> int:
    """Bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Run and print."""
    from benchmarks.pipeline import told

    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--full", action="store_true")
    options.add_argument("--preset", choices=tuple(REACH), help="one preset, in this process (JSON)")
    options.add_argument("--megapixels", type=float)
    options.add_argument("--rounds", type=int, default=3)
    wanted = options.parse_args()
    if wanted.preset:
        print(json.dumps(preset(wanted.preset, wanted.megapixels, wanted.rounds)))
    else:
        print(told(measure(wanted.full)))


if __name__ == "__main__":
    main()
