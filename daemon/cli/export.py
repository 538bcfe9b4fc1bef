"""`protoscale export`: a finished model in another format, or its print report."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from daemon.cli import exits
from daemon.cli.names import resolve
from spool.errors import InvalidRequest, NoSuchJob, WrongState
from spool.export import OBJ_PARTS, REPORT, Export
from spool.reader import Found
from spool.settings import SpoolSettings, read
from spool.spool import Spool
from spool.view import COMPLETED, state_of

FORMATS = {
    **{name: f"model.{name}" for name in ("stl", "3mf", "obj", "obj.zip", "ply", "usdz", "web.glb")},
    "repaired": "model.repaired.glb",
    "turntable": "turntable.webp",
    "sheet": "contact_sheet.png",
    "report": REPORT,
}
OPTIONS = {
    "longest": "longest_mm",
    "height": "height_mm",
    "up": "up",
    "origin": "origin",
    "material": "material",
    "min_wall": "min_wall_mm",
}


def options(command: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    command.add_argument("job", metavar="JOB", help="a finished job: its id, or the last characters of it")
    command.add_argument("--format", required=True, choices=FORMATS, help="what to make")
    command.add_argument("--height", metavar="MM", help="height in millimetres")
    command.add_argument("--longest", metavar="MM", help="longest side in millimetres")
    command.add_argument("--up", help="the axis that points up: y or z")
    command.add_argument("--origin", help="model, centre or ground")
    command.add_argument("--repaired", action="store_true", help="of the repaired model")
    command.add_argument("--material", help="for the report: pla, petg, ...")
    command.add_argument("--min-wall", metavar="MM", help="for the report: thinner walls are told")
    command.add_argument("--out", type=Path, metavar="PATH", help="copy it to this file or existing folder")


def run(chosen: argparse.Namespace) -> int:
    """Make it, unless the job has it, and print where it lies."""
    from daemon.export import make

    spool = Spool.open(read(SpoolSettings).spool)
    found = spool.find(resolve(spool, chosen.job))
    wishes = [
        (option, text) for name, option in OPTIONS.items() if (text := getattr(chosen, name)) is not None
    ]
    wishes += [("repaired", "true")] if chosen.repaired else []
    export = Export.of(FORMATS[chosen.format], wishes)
    if state_of(found) != COMPLETED or not found.job.request.model:
        raise WrongState(f"job {found.job.id} has no finished model (it is in {found.folder})")
    try:
        path = make(found.job.path, export)
        copied = [_copy(path, chosen.out)] if chosen.out else [path]
        if chosen.format == "obj":
            copied += _obj_parts(found, chosen.out)
    except FileNotFoundError:
        raise NoSuchJob(found.job.id) from None  # deleted meanwhile
    for one in copied:
        print(one)
    return exits.OK


def _obj_parts(found: Found, out: Path | None) -> list[Path]:
    """The material and textures that the OBJ names, which lie beside it."""
    from daemon.export import make

    material = make(found.job.path, Export.of(OBJ_PARTS[0], ()))
    named = [part for part in OBJ_PARTS[1:] if part in material.read_text()]
    parts = [material, *(make(found.job.path, Export.of(part, ())) for part in named)]
    folder = out if out is None or out.is_dir() else out.parent
    return [_copy(part, folder) if folder else part for part in parts]


def _copy(path: Path, out: Path) -> Path:
    target = out / path.name if out.is_dir() else out
    try:
        shutil.copyfile(path, target)
    except OSError as error:
        raise InvalidRequest(f"{target} cannot be written: {error.strerror}") from None
    return target
