"""LitServe: a model server. The photo is posted, the answer is the result; what was accepted lives in memory.

python -m benchmarks.peers.with_litserve PORT     the server
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import threading

import litserve

from benchmarks.peers.redis_server import fresh
from benchmarks.peers.system import System, kill, until
from benchmarks.peers.task import RESULTS, work


class Api(litserve.LitAPI):
    """The photo in base64, as LitServe's own examples send pictures; it reads these annotations, and wants none."""

    def setup(self, device):  # type: ignore[no-untyped-def]
        """No model."""

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return request["name"], base64.b64decode(request["photo"]), request["seconds"]

    def predict(self, asked):  # type: ignore[no-untyped-def]
        work(*asked)
        return asked[0]

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return {"name": output}


class OnLitServe(System):
    """One worker; its server and its worker are replaced together, as a service manager would."""

    name = "LitServe"
    setting = "none to choose: nothing is kept"

    def start(self) -> None:
        from tests.service import free_port

        self.port = free_port()
        self._start_worker()
        until(self._answers, "LitServe did not start")

    def _start_worker(self) -> None:
        self.worker = self.python(
            "-m",
            "benchmarks.peers.with_litserve",
            str(self.port),
            **{RESULTS: str(self.results), "PYTHONPATH": "."},
        )

    def submit(self, photo: bytes, seconds: float = 0.0) -> None:
        if seconds:  # it answers when all is done: a client that waits elsewhere
            threading.Thread(target=self._post, args=(photo, seconds), daemon=True).start()
        else:
            self._post(photo, seconds)

    def _post(self, photo: bytes, seconds: float) -> None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            asked = {"name": fresh(), "photo": base64.b64encode(photo).decode(), "seconds": seconds}
            connection.request("POST", "/predict", json.dumps(asked), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = answer.read()
            connection.close()
            if answer.status != 200:
                raise RuntimeError(f"refused: {told!r}")
        except (OSError, http.client.HTTPException):
            if not seconds:
                raise

    def _answers(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def strike(self) -> None:
        kill(self.processes())
        self._start_worker()


def main() -> None:
    """Serve until stopped."""
    litserve.server._MCP_AVAILABLE = False  # it does not know the `mcp` that we have
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
