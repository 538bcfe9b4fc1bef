"""Bad requests to the real server: each is answered with a reason, and the server lives on with nothing left over."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from spool.ids import new_id
from spool.spool import Spool
from tests.crash.recovery import fast_folder
from tests.service import ROOT, free_port
from tests.support import picture, until

PATIENCE = 120.0
SILENCE = 3.0
AT_ONCE = 16


@dataclass
class Answers:
    """What the server said."""

    codes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def requests(count: int, job_id: str, seed: int = 0) -> Iterator[bytes]:
    """`count` raw requests: wrong on purpose, then good ones that something happened to."""
    chance = random.Random(seed)
    made = [*_wrong_paths(job_id), *_wrong_bodies(), *_wrong_protocol()]
    yield from made[:count]
    good = [
        _upload(),
        _upload(start="true", seed="7"),
        _get(f"/api/jobs/{job_id}/status"),
        _get("/health"),
        _get("/api/jobs?limit=3"),
    ]
    for _ in range(count - len(made)):
        yield _damaged(chance.choice(good), chance)


def _get(path: str, method: str = "GET", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def _upload(content: bytes | None = None, filename: str = "a.png", /, **fields: str) -> bytes:
    parts = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    )
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'.encode()
    return _post(parts + head + (picture() if content is None else content) + b"\r\n--x--\r\n")


def _post(body: bytes, kind: str = "multipart/form-data; boundary=x", *headers: str) -> bytes:
    return (
        _get("/api/upload", "POST", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers) + body
    )


def _wrong_paths(job_id: str) -> Iterator[bytes]:
    ids = (
        "",
        ".",
        "..",
        "../..",
        "%2e%2e%2f%2e%2e",
        "x" * 5000,
        new_id(),
        job_id.upper(),
        job_id + "%00",
        "%ff%fe",
        "'; --",
        "%F0%9F%98%80",
        "0",
    )
    for one in ids:
        for rest in ("", "/status", "/generate-3d", "/result/model.glb", "/cancel", "/thumbnail"):
            yield _get(f"/api/jobs/{one}{rest}", "POST" if rest in ("/generate-3d", "/cancel") else "GET")
    for asset in (
        "../request.json",
        "%2e%2e/request.json",
        "request.json",
        "status.json",
        "input.png",
        "",
        "x" * 3000,
        "model.glb%00",
        "..%2f..%2f",
    ):
        yield _get(f"/api/jobs/{job_id}/result/{asset}")
    for query in (
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=99999999999999999999",
        "limit=%C2%B2",
        "before=x",
        "before=",
        "x=1",
        "limit=1&limit=2",
        "%",
        "limit=\u0663".encode().decode("latin-1"),
    ):
        yield _get(f"/api/jobs?{query}")
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "BREW"):
        yield _get("/api/upload", method)
        yield _get(f"/api/jobs/{job_id}/status", method)


def _wrong_bodies() -> Iterator[bytes]:
    for content in (b"", b"x", b"text", b"\x89PNG", b"\xff\xd8\xff", b"\0\0\0\x18ftypheic" + b"\0" * 30):
        yield _upload(content)
    for name in ("", "../../../etc/passwd", "a\0b", "x" * 900, "é\u202e", "a/b", "%", "\\"):
        yield _upload(None, name)
    for key, value in (
        ("quality", "best"),
        ("seed", "x"),
        ("seed", "-1"),
        ("seed", "9" * 30),
        ("seed", "9" * 900),
        ("seed", "1.5"),
        ("seed", "\u0663"),
        ("start", "perhaps"),
        ("remove_bg", "2"),
        ("enhanced_detail", "x"),
        ("colour", "red"),
        ("x" * 900, "1"),
        ("quality", "x" * 5000),
        ("id", "1"),
        ("file", "again"),
        ("", ""),
    ):
        yield _upload(None, **{key: value})
    yield _upload(quality="draft", enhanced_detail="true")
    for body in (
        b"",
        b"--x--\r\n",
        b"--x\r\n",
        b"x",
        b"--y\r\n\r\n--y--",
        b"--x\r\n\r\n\r\n--x--\r\n",
        b"\0" * 100,
        b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
        b"--x\r\n:\r\n\r\n--x--",
        b"--x\r\n" + b"A: b\r\n" * 2000 + b"\r\n--x--\r\n",
    ):
        yield _post(body)
    for kind in (
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 300,
        "application/json",
        "multipart/mixed; boundary=x",
        'multipart/form-data; boundary="x',
    ):
        yield _post(b"{}", kind)
    yield _upload()[:-9]  # the form ends too early, and then nothing more comes
    yield _upload()[:200]
    yield _upload()[:-100]


def _wrong_protocol() -> Iterator[bytes]:
    yield from (
        b"",
        b"\r\n\r\n",
        b"GET",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
        b"\0" * 1000,
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        _get("/health", "GET", "X: " + "y" * 200_000),
        _get("/health", "GET", *(f"X{n}: y" for n in range(3000))),
        _get("/health", "GET", "Content-Length: x"),
        _get("/api/upload", "POST", "Content-Length: -1"),
        _get(
            "/api/upload",
            "POST",
            "Content-Type: multipart/form-data; boundary=x",
            "Content-Length: 99999999999999999999",
        ),
        _get(
            "/api/upload",
            "POST",
            "Content-Type: multipart/form-data; boundary=x",
            "Content-Length: 1\r\nContent-Length: 2",
        ),
        _get(
            "/api/upload",
            "POST",
            "Content-Type: multipart/form-data; boundary=x",
            "Transfer-Encoding: chunked",
        )
        + b"zz\r\n",
        _get(
            "/api/upload",
            "POST",
            "Content-Type: multipart/form-data; boundary=x",
            "Transfer-Encoding: chunked",
        )
        + b"5\r\n--x--\r\n0\r\n\r\n",
        _get("/api/upload", "POST", "Expect: 100-continue", "Content-Length: 5"),
        _get("/health", "GET", "Range: bytes=9-1"),
        _get("/health", "GET", "Upgrade: websocket", "Connection: Upgrade"),
        _get("http://[::1/x"),
        _get("*", "OPTIONS"),
        _get("/health\x00"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        _get("/%"),
        _get("/%zz"),
        _get("//health"),
        _get("/health?" + "a=b&" * 5000),
    )


def _damaged(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 2, 8))):
        at = chance.randrange(len(changed))
        what = chance.randrange(4)
        if what == 0:
            changed[at] = chance.randrange(256)
        elif what == 1:
            del changed[at : at + chance.randrange(1, 20)]
        elif what == 2:
            changed[at:at] = chance.choice((b"\r\n", b"\0", b"--x", b'"', b";", chance.randbytes(9)))
        else:
            del changed[max(at, 1) :]
        if not changed:
            changed += b"x"
    return bytes(changed)


def ask(port: int, request: bytes, silence: float = PATIENCE) -> bytes:
    """All that the server says to these bytes. After so many seconds of silence our side of the connection ends."""
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        with contextlib.suppress(ConnectionError):  # it may hang up in the middle of what it refuses
            connection.sendall(request)
        connection.settimeout(silence)
        try:
            while chunk := _more(connection):
                answer += chunk
        except ConnectionError:
            pass
    return bytes(answer)


def _more(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except TimeoutError:
        # uvicorn waits for the rest of what was promised, as it should: it will not come.
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(PATIENCE)
        return connection.recv(65536)


def _judge(request: bytes, answer: bytes, answers: Answers) -> None:
    shown = request[:90]
    if not answer:
        answers.codes[0] += 1  # closed without a word: right for what is no request, or one that never ended
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    code = int(head.split()[1])
    answers.codes[code] += 1
    if code >= 500:
        answers.wrong.append(f"{shown!r}: {code} {body[:200]!r}")
    elif code >= 400 and not request.startswith(b"HEAD"):
        try:
            explained = bool(json.loads(body)["detail"])
        except (ValueError, KeyError, TypeError):
            explained = b"Invalid HTTP request received." in body  # uvicorn's own, before any route
        if not explained:
            answers.wrong.append(f"{shown!r}: {code} without a reason: {body[:200]!r}")


def through_http(count: int) -> Answers:
    """Start `python -m httpd` on a spool of its own and send it `count` bad requests."""
    answers = Answers()
    with tempfile.TemporaryDirectory(dir=fast_folder()) as name:
        root, log, port = Path(name) / "spool", Path(name) / "log", free_port()
        environ = {
            **os.environ,
            "PROTOSCALE_SPOOL": str(root),
            "PROTOSCALE_PORT": str(port),
            "PROTOSCALE_RESERVE": "1M",
        }
        with log.open("wb") as stderr:
            server = subprocess.Popen([sys.executable, "-m", "httpd"], env=environ, cwd=ROOT, stderr=stderr)
        try:
            until(lambda: server.poll() is not None or _is_up(port), 120)
            first = json.loads(ask(port, _upload()).partition(b"\r\n\r\n")[2])["job_id"]
            sent = list(requests(count, first))
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for request, answer in zip(
                    sent, pool.map(partial(ask, port, silence=SILENCE), sent), strict=True
                ):
                    _judge(request, answer, answers)
            assert server.poll() is None, "the server died"
            spool = Spool(root)
            until(lambda: not os.listdir(root / "tmp"), 60)
            for found in spool.newest(count):
                if not found.job.input.is_file():
                    answers.wrong.append(f"job {found.job.id} has no picture")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        if b"Traceback" in log.read_bytes():
            answers.wrong.append(f"a traceback in the log: {log.read_text(errors='replace')[-1500:]}")
    return answers


def _is_up(port: int) -> bool:
    try:
        return ask(port, _get("/health")).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
