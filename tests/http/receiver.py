"""Somebody's server, to which webhooks go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "a secret of sixteen"
ON = {
    "PROTOSCALE_CALLBACK_HOSTS": "127.0.0.1,localhost,hooks.example,*.lab.example",
    "PROTOSCALE_CALLBACK_SECRET": SECRET,
    "PROTOSCALE_CALLBACK_PRIVATE": "true",
}
"""Settings with which webhooks may go there."""


class Receiver(ThreadingHTTPServer):
    """Somebody's server; it answers with the codes it was given, then 204."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.codes: list[int] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook?x=1"


class _Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.codes.pop(0) if self.server.codes else 204)
        self.send_header("location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    """One that listens for as long as the block lasts."""
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()
