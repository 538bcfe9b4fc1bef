"""The tools that an assistant gets (Model Context Protocol).

They work on the spool like `submit` and `status` do, so they need no HTTP server and no key: whoever starts
`protoscale mcp` may read and write the spool anyway.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import anyio
import PIL.Image
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from daemon.cli.jobs import tagged
from daemon.cli.names import resolve
from daemon.cli.submit import queue
from daemon.errors import DaemonError
from spool import command, layout, lock
from spool import queue as queue_object
from spool.errors import SpoolError
from spool.room import check_room
from spool.settings import SpoolSettings
from spool.spool import Spool
from spool.view import COMPLETED, GIVEN_UP, look, summary

POLL = 0.2
TILE = 512
PAGE = (242, 242, 240)
LONGEST = 3600.0

ABOUT = (
    "ProtoScale makes a textured 3D model (GLB) of one photo of one object. `make_model` waits for the result and "
    "shows it; depth and the sides the photo does not show are inferred, so look at the preview before you promise "
    "anything about them. A job that takes longer goes on by itself: ask for it with `get_result`."
)

Report = Callable[[float, str], Any]
"""Told how far a job is (0 to 100) and what it does."""


def server(settings: SpoolSettings) -> MCPServer:
    """The tools, over the spool that `settings` names. Raises SpoolUnusable."""
    made = MCPServer("protoscale", instructions=ABOUT, version=version("protoscale"), log_level="WARNING")
    tools = Tools(settings, Spool.open(settings.spool))
    looks = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    made.tool(structured_output=False)(tools.make_model)
    made.tool(annotations=looks)(tools.list_jobs)
    made.tool(annotations=looks)(tools.get_queue)
    made.tool(annotations=looks, structured_output=False)(tools.get_result)
    return made


class Tools:
    """What an assistant may call. It reads the names, the parameters and the docstrings."""

    def __init__(self, settings: SpoolSettings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool

    async def make_model(
        self,
        context: Context[Any, Any],
        image_path: str,
        quality: Literal["draft", "balanced", "high", "ultra"] = "high",
        seed: int = 0,
        keep_background: bool = False,
        priority: Literal["high", "normal", "low"] = "normal",
        tags: list[str] | None = None,
        wait_seconds: float = 300,
    ) -> list[Any]:
        """Make a 3D model of the object in a photo.

        image_path: an image file on the machine where this server runs, best given absolutely.
        quality: draft is fastest. seed: for engines that use one. keep_background: the whole picture is the object.
        priority: low stands back for other people's jobs, high goes before them. tags: words to find the job by.
        wait_seconds: how long to wait; the job goes on after that.
        Gives the job's state, the paths of its files, and a preview (front, right / back, left).
        """
        wishes = argparse.Namespace(
            quality=quality,
            seed=seed,
            keep_background=keep_background,
            allow_lower=False,
            priority=priority,
            tags=tags or [],
            name=None,
        )

        def report(percent: float, message: str) -> None:
            anyio.from_thread.run(context.report_progress, percent, 100, message)

        wait = min(max(wait_seconds, 0.0), LONGEST)
        photo = Path(image_path).expanduser()
        work = partial(_make, self._settings, self._spool, photo, wishes, wait, report)
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)

    def list_jobs(self, limit: int = 20, tag: str = "") -> list[dict[str, Any]]:
        """The newest jobs: id, name of the photo, state, stage, progress (0 to 100), tags, error.

        tag: only jobs with this tag.
        """
        most = min(max(limit, 1), 500)
        with _told():
            found = tagged(self._spool, tag, most) if tag else self._spool.newest(most)
            return [summary(job) for job in found]

    def get_queue(self) -> dict[str, Any]:
        """What runs and what waits, in order, with the seconds until each starts and is done where they are known."""
        with _told():
            return queue_object.told(self._spool, 20)

    def get_result(self, job_id: str) -> list[Any]:
        """One job: its state, the paths of its files, and a preview (front, right / back, left) once it is done.

        job_id: the id, or its last characters.
        """
        with _told():
            return result(self._spool, resolve(self._spool, job_id))


@contextmanager
def _told() -> Iterator[None]:
    """What the service refuses is an answer the assistant can act on; anything else is our bug and is logged."""
    try:
        yield
    except (SpoolError, DaemonError) as error:
        raise ToolError(str(error)) from error


def _make(
    settings: SpoolSettings,
    spool: Spool,
    photo: Path,
    wishes: argparse.Namespace,
    wait: float,
    report: Report,
) -> list[Any]:
    with _told():
        check_room(spool.root, settings.reserve)
        job = queue(spool, photo, wishes)
        deadline, said = time.monotonic() + wait, None
        while lock.is_held(spool.root) and time.monotonic() < deadline:
            told = look(spool, job.id)
            if told["status"] in (COMPLETED, GIVEN_UP):
                break
            now = (told["progress"], told["message"] or f"waiting for {told['stage']}")
            if now != said:
                said = now
                report(*now)
            time.sleep(POLL)
        return result(spool, job.id)


def result(spool: Spool, job_id: str) -> list[Any]:
    """What `get_result` answers: a JSON text, and the preview where there is one."""
    told = look(spool, job_id)
    folder = spool.find(job_id).job.path
    told["files"] = {name: str(folder / name) for name in layout.PRODUCTS if (folder / name).exists()}
    if told["status"] not in (COMPLETED, GIVEN_UP):
        working = lock.is_held(spool.root)
        told["next"] = (
            "it goes on; ask again with get_result"
            if working
            else f"it is queued and safe, but no worker runs: somebody has to start {command.started()}"
        )
    answer: list[Any] = [json.dumps(told, indent=2)]
    picture = preview(folder) if told["status"] == COMPLETED else None
    return [*answer, picture] if picture else answer


def preview(folder: Path) -> Image | None:
    """The four views of the job in `folder` as one JPEG, 1024 x 1024; None where there are none."""
    sheet = PIL.Image.new("RGB", (2 * TILE, 2 * TILE), PAGE)
    for number, name in enumerate(layout.VIEWS):
        try:
            with PIL.Image.open(folder / name) as view:
                tile = view.convert("RGBA").resize((TILE, TILE))
        except FileNotFoundError:
            return None
        sheet.paste(tile, (number % 2 * TILE, number // 2 * TILE), tile)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=88)
    return Image(data=buffer.getvalue(), format="jpeg")
