"""The HTTP server's part of a life: the application itself, asked in this process."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from httpd.app import create_app
from httpd.config import HttpConfig
from spool.layout import FAILED, HELD
from spool.settings import read
from tests.crash.ledger import picture_of
from tests.crash.life import Life
from tests.crash.lives import LIVES

LIFE_OF_A_SERVER = len(LIVES)
"""Its number, after the others."""
_VERBS = {
    "generate-multiangle": ("releasing", ("released", "{}", "views")),
    "generate-3d": ("releasing", ("released", "{}", "model")),
    "cancel": ("cancelling", ("cancelled", "{}", FAILED)),
    "retry": ("retrying", ("retried", "{}")),
    "delete": ("removing", ("removed", "{}")),
}


class Refused(OSError):
    """The server refused with a reason; raised so that a life is told like any other error."""


def life_of_a_server(life: Life) -> None:
    """Uploads, and everything that can be asked of them. Every answer is a success or says why not."""
    life.open()
    client = TestClient(_app(life.root), base_url="http://localhost", raise_server_exceptions=False)
    for name, verbs in (
        ("views.png", ("generate-multiangle",)),
        ("model.png", ("generate-3d", "generate-3d")),
        ("gone.png", ("delete",)),
        ("again.png", ("cancel", "retry")),
    ):
        life.attempt(partial(_ask, life, "upload", client, name))
        for verb in verbs:
            life.attempt(partial(_ask, life, verb, client, name))
    for path in ("/api/jobs", "/health", f"/api/jobs/{life.ids.get('model.png', 'x')}/status"):
        life.attempt(partial(_look, client, path))
    life.work_off()


def _app(root: Path) -> Any:
    return create_app(read(HttpConfig, {"PROTOSCALE_SPOOL": str(root), "PROTOSCALE_RESERVE": "1M"}))


def _ask(life: Life, verb: str, client: TestClient, name: str) -> None:
    if verb == "upload":
        life.tell(("submitting", name, HELD))
        answer = client.post("/api/upload", files={"file": (name, picture_of(name))})
        _explained(answer)
        life.ids[name] = answer.json()["job_id"]
        life.tell(("acked", name))
    elif name in life.ids:
        before, after = _VERBS[verb]
        life.tell((before, name))
        path = f"/api/jobs/{life.ids[name]}"
        answer = client.delete(path) if verb == "delete" else client.post(f"{path}/{verb}")
        _explained(answer)
        life.tell(tuple(part.format(name) for part in after))


def _look(client: TestClient, path: str) -> None:
    _explained(client.get(path))


def _explained(answer: Any) -> None:
    """Raises Refused for a failure with a reason, AssertionError for one without."""
    if answer.status_code >= 400:
        assert answer.status_code not in (400, 500), (
            f"{answer.request.url}: {answer.status_code} {answer.text}"
        )
        raise Refused(errno.EIO, answer.json()["detail"])
