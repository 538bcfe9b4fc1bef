"""What the benchmarks found, as JSON for programs, Markdown for people, and PNG plots."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import Figure, Plot, Section
from spool import filesystem


@dataclass
class Report:
    """Everything of one run, by benchmark."""

    machine: Mapping[str, str]
    full: bool
    sections: dict[str, Section] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def write(self, out: Path) -> None:
        """`bench.json`, `bench.md`, and a picture for every plot."""
        (out / "bench.json").write_text(json.dumps(as_json(self), indent=2) + "\n")
        (out / "bench.md").write_text(markdown(self))
        for section in self.sections.values():
            for plot in section.plots:
                draw(plot, out / f"{plot.name}.png")


def machine(folder: Path) -> dict[str, str]:
    """What the figures depend on; not the machine's name. `folder` lies where the spools do that are measured."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    load = os.getloadavg()
    kind, _ = filesystem.under(folder)
    return {
        "CPU": cpu,
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "file system": kind,
        "Python": platform.python_version(),
        "ProtoScale": version("protoscale"),
        "load before": f"{load[0]:.1f} (1 min), {load[1]:.1f} (5 min)",
        "begun": datetime.now(timezone.utc).isoformat(timespec="minutes"),
    }


def as_json(report: Report) -> dict[str, Any]:
    """Every sample of every figure."""
    return {
        "machine": dict(report.machine),
        "full": report.full,
        "failures": report.failures,
        "sections": {
            name: {
                **asdict(section),
                "figures": [
                    {**asdict(one), "median": one.median, "p99": one.percentile(0.99), "reached": one.reached}
                    for one in section.figures
                ],
            }
            for name, section in report.sections.items()
        },
    }


def markdown(report: Report) -> str:
    """A table a section."""
    lines = ["# Benchmarks", "", f"{'Full' if report.full else 'Quick'} run.", ""]
    lines += [f"* {what}: {value}" for what, value in report.machine.items()]
    for name, why in report.failures.items():
        lines += ["", f"**{name} failed**", "", "```", why, "```"]
    for section in report.sections.values():
        lines += ["", f"## {section.title}", "", section.how, ""]
        lines += [
            "| what | median | p99 | samples | reach | reached | ratio |",
            "|---|---:|---:|---:|---:|---|---:|",
        ]
        lines += [_row(figure) for figure in section.figures]
        lines += [""] + [f"* {what}: {value}" for what, value in section.facts.items()]
        lines += [f"\n![{plot.title}]({plot.name}.png)" for plot in section.plots]
    return "\n".join(lines) + "\n"


def _row(figure: Figure) -> str:
    reach, reached, ratio = "", "", ""
    if figure.reach is not None:
        reach = f"{'≤' if figure.at_most else '≥'} {_number(figure.reach)}"
        reached = "yes" if figure.reached else "**no**"
        ratio = f"{figure.median / figure.reach:.2f}" if figure.reach else ""
    return (
        f"| {figure.what}, {figure.unit} | {_number(figure.median)} | {_number(figure.percentile(0.99))} "
        f"| {len(figure.samples)} | {reach} | {reached} | {ratio} |"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def draw(plot: Plot, path: Path) -> None:
    """A plot as a PNG file."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=120, layout="constrained")
    for curve in plot.curves:
        axes.plot(curve.x, curve.y, marker="o", label=curve.name)
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    if plot.log_x:
        axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
    pyplot.close(figure)
