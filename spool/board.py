"""supervisor.json: what the supervisor tells readers about itself and its workers. News, not record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spool import durable, lock

BOARD = "supervisor.json"

STARTING = "starting"
IDLE = "idle"
BUSY = "busy"
WAITING = "restarting"
STOPPING = "stopping"
OUT = "out of service"


@dataclass(frozen=True)
class Gpu:
    """What a card's driver says: bytes, percent, degrees Celsius. A field is null where the card does not say."""

    name: str | None
    used_bytes: int | None
    total_bytes: int | None
    process_bytes: int | None
    utilisation: int | None
    temperature: int | None
    power_watts: int | None


@dataclass(frozen=True)
class Slot:
    """One worker. Memory is resident bytes; `busy_share` is 0 to 1 since the worker's post was filled."""

    name: str
    role: str
    device: str
    stages: tuple[str, ...]
    state: str
    job: str | None
    stage: str | None
    pid: int | None
    jobs_done: int
    busy_share: float
    memory_bytes: int | None
    restarts: int
    gpu: Gpu | None = None
    node: str = ""
    """The machine of the cluster whose device it is; empty for this one."""


@dataclass(frozen=True)
class Board:
    """The content of `supervisor.json`. `notes` are sentences for the operator (a fallback in use, ...)."""

    pid: int
    started_at: str
    engine: str
    background_model: str | None
    notes: tuple[str, ...]
    workers: tuple[Slot, ...]

    def write(self, root: Path) -> None:
        """Replace the spool's `supervisor.json`."""
        durable.replace_json(root / BOARD, asdict(self), durable=False, has_ballast=False)

    @classmethod
    def read(cls, root: Path) -> Board | None:
        """What the running supervisor says, or None where none runs (a file left behind is not believed)."""
        if not lock.is_held(root):
            return None
        try:
            value = json.loads((root / BOARD).read_bytes())
            workers = tuple(_slot(slot) for slot in value.pop("workers"))
            return cls(**{**value, "notes": tuple(value["notes"]), "workers": workers})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None


def _slot(value: dict[str, Any]) -> Slot:
    gpu = value.get("gpu")
    return Slot(**{**value, "stages": tuple(value["stages"]), "gpu": Gpu(**gpu) if gpu else None})


def slots_of(board: Board | None) -> Sequence[Slot]:
    """The workers on a board; none where no supervisor runs."""
    return board.workers if board else ()
