"""What the supervisor says about itself: supervisor.json for readers, one line for `systemctl status`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil

from daemon.child import Crew
from daemon.cluster.roster import Vitals
from daemon.config import Config
from daemon.models import FALLBACK, locate
from daemon.nvml import Gpus
from spool import board as spool_board
from spool import command, layout
from spool.board import Board, Slot
from spool.line import how_many
from spool.pause import paused
from spool.spool import Spool
from spool.status import Status

_GPUS = Gpus()


def board(
    spool: Spool, config: Config, engine: str, started_at: str, crews: Sequence[Crew], draining: bool
) -> Board:
    """The board as it stands now."""
    names = (config.rembg_model, FALLBACK)
    model = next((name for name in names if locate(name, config.u2net_home)), None)
    return Board(
        pid=os.getpid(),
        started_at=started_at,
        engine=engine,
        background_model=model,
        notes=(*_notes(config, engine, model), *_outages(crews)),
        workers=tuple(_slot(spool, crew, draining) for crew in crews),
    )


def _notes(config: Config, engine: str, model: str | None) -> list[str]:
    notes = []
    if engine == "silhouette":
        notes.append(
            "engine silhouette: shapes are inferred from the outline, without a GPU; see README, Quality"
        )
    if model is None:
        notes.append(f"no background-removal model is here: run {command.typed('models pull')}")
    elif model != config.rembg_model:
        notes.append(f"background removal uses {model}, because {config.rembg_model} is not here")
    return notes


def _outages(crews: Sequence[Crew]) -> list[str]:
    records = dict.fromkeys(crew.record for crew in crews)
    return [record.notice() for record in records if record.is_out]


def _slot(spool: Spool, crew: Crew, draining: bool) -> Slot:
    job = crew.pulse.job if crew.pid else None
    # Of a device elsewhere we know what its envoy heard; our own process is but its voice here.
    there = Vitals.read(spool.root, crew.post.name) if crew.post.node else None
    return Slot(
        name=crew.post.name,
        role=crew.post.role,
        device=there.device if there else crew.post.device,
        stages=crew.post.stages,
        state=_state(crew, draining),
        job=job,
        stage=Status.read(spool.root / layout.RUNNING / crew.post.name / job).stage if job else None,
        pid=crew.pid,
        jobs_done=crew.pulse.jobs,
        # Coarse on purpose: the board is rewritten when it changes, and an idle service writes nothing.
        busy_share=round(crew.busy_share(), 2),
        memory_bytes=there.memory_bytes if there else _resident(crew.pid),
        restarts=crew.restarts,
        gpu=there.gpu if there else None if crew.post.node else _GPUS.look(crew.post.device, crew.pid),
        node=crew.post.node,
    )


def _state(crew: Crew, draining: bool) -> str:
    if crew.pid is None and crew.record.is_out:
        return spool_board.OUT
    if crew.pid is None:
        return spool_board.WAITING
    if draining:
        return spool_board.STOPPING
    if not crew.pulse.is_ready:
        return spool_board.STARTING
    return spool_board.BUSY if crew.pulse.is_busy else spool_board.IDLE


def _resident(pid: int | None) -> int | None:
    """Resident memory in whole megabytes, as bytes."""
    try:
        return round(psutil.Process(pid).memory_info().rss / 2**20) * 2**20 if pid else None
    except psutil.NoSuchProcess:
        return None


def status_line(current: Board, spool: Spool) -> str:
    """One line for people: what waits, who works on what."""
    waiting = sum(how_many(spool.root, stage.folder) for stage in layout.STAGES)
    held = paused(spool.root)
    held_back = f" (paused since {held.since}{': ' if held.reason else ''}{held.reason})" if held else ""
    return (
        f"{waiting} waiting{held_back}; {', '.join(map(_at_work, current.workers))}; engine {current.engine}"
    )


def _at_work(slot: Slot) -> str:
    if slot.job:
        return f"{slot.name} {slot.state} with {slot.stage} of {slot.job}"
    return f"{slot.name} {slot.state}"
