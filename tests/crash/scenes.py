"""The processes of the service, each brought to do everything it does to a spool, ready to be killed in the middle.

A scene lays out a spool, forks the real process with a `Killer` in it, plays the others, and says what was promised.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from daemon import process
from daemon.config import Config
from daemon.devices import Post
from daemon.engines import choose
from daemon.pulse import Pulse
from daemon.supervisor import Supervisor
from daemon.worker import Worker
from httpd.app import create_app
from httpd.config import HttpConfig
from httpd.quiet import QuietServer
from spool import durable
from spool.job import Request
from spool.layout import FAILED, HELD, INBOX, REQUEST, RUNNING, TMP
from spool.notify import Systemd
from spool.settings import read
from spool.spool import Spool
from tests.crash import quick_work
from tests.crash.fork import Fork, Killer, Tell
from tests.crash.ledger import Event, picture_of
from tests.crash.life import Life
from tests.crash.recovery import ALL, Recovery
from tests.crash.shim import Shim
from tests.support import SphereEngine, config

Scene = Callable[[Path, int, Recovery], tuple[list[Event], bool]]
"""Given the spool, the moment of death and a recovery: what was promised, and whether the process was killed."""


def a_life(life: Callable[[Life], None], root: Path, at: int, recovery: Recovery) -> tuple[list[Event], bool]:
    """The command line, a worker and the supervisor's recovery by turns, in one process."""

    def act(tell: Tell) -> None:
        with Shim(root.parent, Killer(at)).installed():
            life(Life(root, tell, recovery))

    child = Fork.of(act)
    child.wait()
    return child.told, child.killed


# --- the worker ----------------------------------------------------------------------------------------


def the_worker(root: Path, at: int, recovery: Recovery) -> tuple[list[Event], bool]:
    """`daemon.process.main` over jobs in every state that a worker meets."""
    told = _jobs_for_a_worker(root)

    def act(tell: Tell) -> None:
        with Shim(root.parent, Killer(at)).installed(), _quick_engine():
            process.main(os.getppid(), _settings(root), ALL, Pulse(), 1)

    child = Fork.of(act)
    child.wait()
    return told, child.killed


def _jobs_for_a_worker(root: Path) -> list[Event]:
    spool = Spool.open(root)
    events: list[Event] = []
    for name, model in (("a.png", True), ("views.png", False), ("bad.png", True), ("stop.png", True)):
        events += _submit(spool, name, model)
    spool.enlist("gone")
    job = spool.claim(INBOX, "gone")
    assert job  # a.png: its cutout is there, and a supervisor has put it back
    durable.replace(job.path / "cutout.png", quick_work.product(job.request.name, "cutout.png"))
    spool.advance(job)
    stop = next(one for one in spool.newest(9) if one.job.request.name == "stop.png")
    durable.replace(stop.job.path / "cancel", b"")
    return [*events, ("may fail", "bad.png"), ("may fail", "stop.png")]


# --- the supervisor ------------------------------------------------------------------------------------


def the_supervisor(root: Path, at: int, recovery: Recovery) -> tuple[list[Event], bool]:
    """`Supervisor.run` from a start after a crash to its drain, with a real worker process."""
    told = _what_a_crash_left(root)

    def act(tell: Tell) -> None:
        with _quick_engine(), Shim(root.parent, Killer(at)).installed():
            _UntilAtRest(_settings(root), Systemd({}), with_http=False).run()

    child = Fork.of(act)
    child.wait()
    return told, child.killed


class _UntilAtRest(Supervisor):
    """Drains by itself when nothing waits any more."""

    def rest(self) -> None:
        folders = (INBOX, "geometry", "texture", RUNNING + "/" + self.crews[0].post.name)
        files = [path for path in (self.spool.root / INBOX).iterdir() if path.is_file()]
        if not files and not any(self.spool.waiting(folder) for folder in folders):
            self.ask_drain()
        super().rest()


def _what_a_crash_left(root: Path) -> list[Event]:
    spool = Spool.open(root)
    events: list[Event] = []
    for name in ("a.png", "running.png", "poison.png"):
        events += _submit(spool, name)
    spool.enlist("gone")
    for _ in range(3):
        job = spool.claim(INBOX, "gone")
        assert job
        for _ in range(3 if job.request.name == "poison.png" else 1):
            spool.begin(job, "cutout")
    (root / RUNNING / "gone" / "stacks").write_text("a thread was here\n")
    events.append(("may fail", "poison.png"))
    for name in ("dropped.png", "bad.txt"):
        (root / INBOX / name).write_bytes(picture_of(name))
        events += [("dropping", name), ("dropped", name)]
    for number, name in enumerate(("early.png", "late.png")):
        # Cut off before and after the file was moved into its draft.
        request = Request.new(source="inbox", name=name, suffix=".png")
        draft = root / TMP / f"adopt-{request.id}"
        draft.mkdir()
        durable.replace_json(draft / REQUEST, request.as_json())
        (draft / "input.png" if number else root / INBOX / name).write_bytes(picture_of(name))
        events += [("dropping", name), ("dropped", name)]
    (root / TMP / "gone-0").mkdir()
    (root / TMP / "gone-0" / "input.png").write_bytes(b"half deleted")
    return events


# --- the HTTP server -----------------------------------------------------------------------------------


def the_server(root: Path, at: int, recovery: Recovery) -> tuple[list[Event], bool]:
    """uvicorn with the application, and a client that asks for everything the API changes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def act(tell: Tell) -> None:
            import uvicorn

            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn raises it again at its end
            with Shim(root.parent, Killer(at)).installed():
                app = create_app(
                    read(HttpConfig, {"PROTOSCALE_SPOOL": str(root), "PROTOSCALE_RESERVE": "1M"})
                )
                server = QuietServer(uvicorn.Config(app, log_config=None, lifespan="off"))
                server.run(sockets=[listener])

        child = Fork.of(act)
    told: list[Event] = []
    try:
        _Client(port, told.append).everything()
        os.kill(child.pid, signal.SIGTERM)
    except (http.client.HTTPException, OSError):
        pass  # the server is dead, which is the point
    child.wait()
    return told, child.killed


class _Client:
    """A client that writes down what it was promised."""

    def __init__(self, port: int, tell: Tell) -> None:
        self._port = port
        self._tell = tell

    def everything(self) -> None:
        for name in ("views.png", "model.png", "gone.png", "again.png"):
            self._tell(("submitting", name, HELD))
            job_id = self._upload(name)
            self._tell(("acked", name))
            for verb in {
                "views.png": ("generate-multiangle",),
                "model.png": ("generate-3d", "generate-3d"),
                "gone.png": ("delete",),
                "again.png": ("cancel", "retry"),
            }[name]:
                self._ask(name, job_id, verb)
        self._tell(("submitting", "start.png", INBOX))
        job_id = self._upload("start.png", start="true")
        self._tell(("acked", "start.png"))
        for path in (
            f"/api/jobs/{job_id}/status",
            "/api/jobs",
            "/health",
            f"/api/jobs/{job_id}/result/input.png",
        ):
            self._call("GET", path)

    def _ask(self, name: str, job_id: str, verb: str) -> None:
        before, after = {
            "generate-multiangle": ("releasing", ("released", name, "views")),
            "generate-3d": ("releasing", ("released", name, "model")),
            "cancel": ("cancelling", ("cancelled", name, FAILED)),
            "retry": ("retrying", ("retried", name)),
            "delete": ("removing", ("removed", name)),
        }[verb]
        self._tell((before, name))
        if verb == "delete":
            code, _ = self._call("DELETE", f"/api/jobs/{job_id}")
        else:
            code, _ = self._call("POST", f"/api/jobs/{job_id}/{verb}")
        assert code in (202, 204), f"{verb}: {code}"
        self._tell(after)

    def _upload(self, name: str, **fields: str) -> str:
        parts = [
            f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in fields.items()
        ]
        head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = b"".join([*parts, head.encode(), picture_of(name), b"\r\n--x--\r\n"])
        code, answer = self._call(
            "POST", "/api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert code == 201, answer
        return str(json.loads(answer)["job_id"])

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


# --- what they share -----------------------------------------------------------------------------------


def _submit(spool: Spool, name: str, model: bool = True) -> list[Event]:
    draft = spool.draft(Request.new(source="cli", name=name, suffix=".png", model=model))
    draft.input.write_bytes(picture_of(name))
    draft.publish(INBOX)
    return [("submitting", name, INBOX), ("acked", name)]


def _settings(root: Path) -> Config:
    return config(
        root,
        GEOMETRY_DEVICE="cpu",
        TEXTURE_DEVICE="cpu",
        PROTOSCALE_SETTLE="0.1",
        PROTOSCALE_LOG_LEVEL="error",
        PROTOSCALE_DRAIN_LIMIT="0.1",
    )


class _UntilIdle(Worker):
    """Ends when there is nothing to do: the supervisor's wish, without a supervisor."""

    def rest(self) -> None:
        self.drain()


@contextmanager
def _quick_engine() -> Iterator[None]:
    """Workers of this process, and those it forks, do quick work with an engine that needs no model."""
    import daemon.worker

    saved: list[tuple[Any, str, Any]] = [
        (choose, "build", choose.build),
        (process, "spawn", process.spawn),
        (daemon.worker, "Worker", daemon.worker.Worker),
    ]
    replacements = (lambda config, device: SphereEngine(), _fork_a_worker, _UntilIdle)
    for (owner, name, _), replacement in zip(saved, replacements, strict=True):
        setattr(owner, name, replacement)
    try:
        with quick_work.installed():
            yield
    finally:
        for owner, name, value in saved:
            setattr(owner, name, value)


def _fork_a_worker(settings: Config, post: Post, pulse: Pulse, geometry_workers: int) -> BaseProcess:
    """As `daemon.process.spawn`, with the interpreter and its modules ready."""
    context = multiprocessing.get_context("fork")
    work = partial(process.main, os.getpid(), settings, post, pulse, geometry_workers)
    child = context.Process(target=work, name=post.name)
    child.start()
    return child


SCENES: dict[str, Scene] = {
    "HTTP server": the_server,
    "supervisor": the_supervisor,
    "worker": the_worker,
}
