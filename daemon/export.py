"""Making an export: one product of a finished model, once, in its job's directory.

The HTTP server starts this as `python -m daemon.export JOB-DIRECTORY FILE-NAME` for each export that is not there
yet, and the command line calls `make`. A process of its own, and neither the server's nor a worker's, because the
mesh libraries would quadruple an idle server, a bad mesh may need any memory and time (so both are limited here),
and an export should work while no supervisor runs and while every worker is busy.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.errors import BadJob, DaemonError
from spool import durable, layout, rights
from spool.errors import SpoolError
from spool.export import OBJ_PARTS, REPORT, Export
from spool.job import Job

if TYPE_CHECKING:
    from trimesh import Trimesh

KEPT_VARIANTS = 32
"""Exports with options that one job keeps; the oldest goes first, so asking for many sizes fills no disk."""
NICE = 10
REPAIRED = Export.of("model.repaired.glb", ())
EX_REFUSED, EX_MEMORY = 65, 71
"""Exit codes from sysexits.h: this model cannot be exported so; there is not enough memory."""


def make(job: Path, export: Export) -> Path:
    """Make `export` of the finished job at `job` unless it is there; returns its path.

    Of several who ask at once, one makes it and the others wait. Raises BadJob where the model does not allow
    it, FileNotFoundError where the job has no model or has gone, EngineError for a damaged model.
    """
    path = job / export.file_name
    with _alone(job):
        if not path.exists():
            for leftover in job.glob(f".{export.file_name}.*.aside"):
                leftover.unlink()  # a maker was killed; nobody else writes it while the lock is held
            _publish(path, _content(job, export))
            _forget_oldest(job)
    return path


def _publish(path: Path, content: bytes) -> None:
    """Lay a product into its job; made by root, it belongs to the job's owner all the same."""
    with rights.of_owner(path.parent):
        durable.replace(path, content)


@contextmanager
def _alone(job: Path) -> Iterator[None]:
    """Hold the one lock on a job's exports: on the directory itself, so that no lock file is left in it."""
    descriptor = os.open(job, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _forget_oldest(job: Path) -> None:
    variants = sorted(
        (path for path in job.iterdir() if "--" in path.name and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
    )
    for path in variants[:-KEPT_VARIANTS]:
        path.unlink()


def _content(job: Path, export: Export) -> bytes:
    """The bytes of one export. Imports what it needs itself: the limits come first, and each format its own."""
    from daemon.engines import glb

    options = export.options
    if export == REPAIRED:
        return _repaired(job)
    source = job / layout.MODEL_GLB
    if options.get("repaired") == "true":
        source = job / REPAIRED.file_name
        if not source.exists():
            _publish(source, _repaired(job))
    mesh = glb.read_glb(source)
    if export.product == REPORT:
        return _report(job, mesh, source, options)
    if export.product in ("turntable.webp", "contact_sheet.png"):
        return _picture(job, mesh, export.product)
    return _converted(mesh, source, export)


def _converted(mesh: Trimesh, source: Path, export: Export) -> bytes:
    from daemon.engines.exports import meshes
    from daemon.engines.exports.solid import Solid, solid

    options = export.options
    # Slicers count in millimetres. Scenes count in metres, like the model itself.
    placed = solid(mesh, options, 1000.0 if export.product in ("model.stl", "model.3mf") else 1.0)
    if export.product == "model.usdz":
        from daemon.engines.exports.usdz import usdz

        return usdz(placed, options["up"])
    if export.product == "model.web.glb":
        from daemon.engines.exports.web import web_glb

        return web_glb(source, placed)
    if export.product == "model.3mf":
        from daemon.engines.exports.threemf import threemf

        return threemf(placed)
    if export.product in OBJ_PARTS and export.product.endswith(".jpg"):
        name = export.product.removeprefix("model_").removesuffix(".jpg")
        if name not in placed.textures:
            raise BadJob(f"the model has no {name} texture")
        return meshes.jpeg(placed.textures[name])
    writers: dict[str, Callable[[Solid], bytes]] = {
        "model.stl": meshes.stl,
        "model.ply": meshes.ply,
        "model.obj": meshes.obj,
        "model.obj.zip": meshes.obj_zip,
        "model.mtl": meshes.mtl,
    }
    return writers[export.product](placed)


def _picture(job: Path, mesh: Trimesh, product: str) -> bytes:
    from daemon.engines.exports import pictures

    if product == "turntable.webp":
        return pictures.turntable(mesh)
    request = Job.read(job).request
    return pictures.sheet(job / request.input, job / layout.CUTOUT_PNG, mesh, request.name, _analysis(job))


def _repaired(job: Path) -> bytes:
    """model.repaired.glb: the model itself where nothing is wrong with it, else a bare surface."""
    from daemon.engines import glb
    from daemon.engines.printing.repair import repair
    from daemon.engines.printing.surface import Surface

    source = job / layout.MODEL_GLB
    mesh = glb.read_glb(source)
    made = repair(Surface.of(mesh))
    extras = glb.read_extras(source)
    extras["repair"] = {"changes": list(made.changes), "remaining": list(made.remaining)}
    return glb.write_glb(made.surface.mesh if made.changes else mesh, extras)


def _report(job: Path, mesh: Trimesh, source: Path, options: dict[str, str]) -> bytes:
    from daemon.engines import glb
    from daemon.engines.printing.report import report
    from daemon.engines.printing.surface import Surface

    told = report(Surface.of(mesh), options, _analysis(job).get("faces_asked"))
    head = {"of": source.name, "repair": glb.read_extras(source).get("repair")}
    return json.dumps({**head, **told}, indent=2).encode() + b"\n"


def _analysis(job: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads((job / layout.ANALYSIS).read_bytes())
    except FileNotFoundError:
        return {}
    return value


def main() -> int:
    """The process: limits first, then the work. What went wrong is the last line on stderr."""
    options = argparse.ArgumentParser(
        prog="python -m daemon.export", description="make one export of one job"
    )
    options.add_argument("job", type=Path, help="the job's directory")
    options.add_argument("name", help="the file to make, for example model--height_mm-80.stl")
    options.add_argument("--memory", type=int, default=0, help="bytes this process may hold (0: no limit)")
    options.add_argument("--seconds", type=int, default=0, help="time it may take (0: no limit)")
    asked = options.parse_args()
    _limit(asked.memory, asked.seconds)
    try:
        make(asked.job, Export.named(asked.name))
    except (DaemonError, SpoolError) as error:
        print(error, file=sys.stderr)
        return EX_REFUSED
    except MemoryError:
        print("there was not enough memory for it", file=sys.stderr)
        return EX_MEMORY
    return 0


def _limit(memory: int, seconds: int) -> None:
    """Ends this process by SIGALRM when time is up; more memory than allowed is refused by the kernel."""
    # A hardened unit forbids setpriority(2); being nice is then up to the unit.
    with suppress(PermissionError):
        os.nice(NICE)
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    # The server that started it may be gone by then, so it keeps its own clock.
    signal.alarm(seconds)


if __name__ == "__main__":
    sys.exit(main())
