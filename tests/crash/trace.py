"""Does the shim see what the kernel sees? `strace -f` listens to the same lives, and to the real service.

1. Lives are led in a child with the shim, under strace: both lists of calls must be equal, call by call.
2. The service (supervisor, spawned workers, HTTP server) works under strace: every call that changes the spool must
   be one that the model of the disk knows, and the model that follows them must end with the tree that is there.

`python -m tests.crash.trace` prints its figures in the last line; exit code 77 where there is no strace.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spool.spool import Spool
from tests.crash.disk import Disk
from tests.crash.ext4 import CANNOT
from tests.crash.life import Life
from tests.crash.lives import LIVES
from tests.crash.recovery import ready
from tests.crash.shim import CHANGES, Call, Shim
from tests.service import ROOT, free_port
from tests.support import picture, until

NAMED = (
    "open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,"
    "symlinkat,mknod,mknodat"
)
TRACED = (
    f"{NAMED},fsync,fdatasync,sync,syncfs,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,"
    "fallocate,sendfile,splice,copy_file_range"
)
CHANGING = {
    "mkdir": "mkdir", "mkdirat": "mkdir", "rename": "rename", "renameat": "rename", "renameat2": "rename",
    "unlink": "unlink", "rmdir": "rmdir", "fsync": "fsync", "fdatasync": "fsync", "write": "write",
    "pwrite64": "write", "truncate": "truncate", "ftruncate": "truncate",
}  # fmt: skip
"""What the shim knows under which name. Any other traced call that changes the spool is news to it.

`sync_file_range` is not traced: as it is called here (`spool/writeback.py`) it begins to write what the model lets
reach the disk at any moment anyway, and promises nothing.
"""
BY_NAME = (*NAMED.split(","), "truncate")
_LINE = re.compile(r"^(?P<pid>\d+)\s+(?P<call>\w+)\((?P<given>.*)\)\s+= (?P<result>-?\d+|\?)")
_UNFINISHED = re.compile(r"^(?P<pid>\d+)\s+(?P<start>\w+\(.*?),? ?<unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(?P<pid>\d+)\s+<\.\.\. \w+ resumed>,? ?(?P<rest>.*)$")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<at>[^>]*)>, )?"(?P<path>[^"]*)"')
_DESCRIPTOR = re.compile(r"\b\d+<(/[^>]*)>")


class Unknown(AssertionError):
    """A call that the shim and the model do not know changed the spool."""


def heard(trace: Path, base: Path) -> list[Call]:
    """The successful calls below `base` that change something, in the order the kernel finished them."""
    return [call for line in _whole_lines(trace) if (call := _call(line)) and _is_below(call, str(base))]


def _whole_lines(trace: Path) -> Iterator[str]:
    started: dict[str, str] = {}
    for line in trace.read_text(errors="surrogateescape").splitlines():
        if begun := _UNFINISHED.match(line):
            started[begun["pid"]] = begun["start"]
        elif resumed := _RESUMED.match(line):
            start = started.pop(resumed["pid"])
            glue = "" if resumed["rest"].startswith(")") else ", "
            yield f"{resumed['pid']} {start}{glue}{resumed['rest']}"
        else:
            yield line


def _call(line: str) -> Call | None:
    found = _LINE.match(line)
    if not found or found["result"].startswith(("-", "?")):
        return None
    name, given, result = found["call"], found["given"], int(found["result"])
    if name in BY_NAME:
        paths = [os.path.join(at, path) for at, path in _PATH.findall(given)]  # noqa: PTH118
    else:
        paths = [path.removesuffix(" (deleted)") for path in _DESCRIPTOR.findall(given)]
    if name in ("open", "openat", "openat2"):
        if "O_CREAT" in given:
            return Call("creat", paths[0], content=b"a" if "O_APPEND" in given else b"")
        return Call("open-rw", paths[0]) if "O_WRONLY" in given or "O_RDWR" in given else None
    if name == "unlinkat" and "AT_REMOVEDIR" in given:
        return Call("rmdir", paths[0])
    kind = CHANGING.get("unlink" if name == "unlinkat" else name, f"unknown {name}")
    if not paths:
        return None
    call = Call(kind, *paths[:2])
    if kind == "write":
        call.content = bytes(result)
    return call


def _is_below(call: Call, base: str) -> bool:
    if not any(path == base or path.startswith(f"{base}/") for path in (call.path, call.target)):
        return False
    if call.name.startswith("unknown"):
        raise Unknown(f"{call.name} changed {call.path}")
    return True


def _short(call: Call) -> tuple[str, str, str, int]:
    return call.name, call.path, call.target, len(call.content) if call.name == "write" else 0


class _Lister:
    def __init__(self) -> None:
        self.calls: list[Call] = []

    def before(self, call: Call) -> None:
        pass

    def after(self, call: Call) -> None:
        if call.name in CHANGES:
            self.calls.append(call)


def _live(number: int, base: Path) -> None:
    """In the traced child: lead a life, and write down beside `base` what the shim saw of it."""
    lister = _Lister()
    with ready() as recovery, Shim(base, lister).installed():
        LIVES[number](Life(base / "spool", lambda event: None, recovery))
    Path(f"{base}.seen").write_text(json.dumps([_short(call) for call in lister.calls]))


def same_life(number: int, scratch: Path) -> int:
    """Compare shim and strace over one life. Returns the number of calls; raises AssertionError at a difference."""
    base = scratch / f"life{number}"
    base.mkdir()
    trace = scratch / f"life{number}.strace"
    _traced(trace, sys.executable, "-m", "tests.crash.trace", "--live", str(number), str(base)).wait()
    seen = [tuple(one) for one in json.loads(Path(f"{base}.seen").read_text())]
    kernel = [_short(call) for call in heard(trace, base)]
    for at, (ours, theirs) in enumerate(zip(seen, kernel, strict=False)):
        assert ours == theirs, (
            f"{LIVES[number].__name__}, call {at}: the shim saw {ours}, the kernel {theirs}"
        )
    assert len(seen) == len(kernel), f"the shim saw {len(seen)} calls, the kernel {len(kernel)}"
    return len(kernel)


def _traced(trace: Path, *command: str, **environ: str) -> subprocess.Popen[bytes]:
    options = ["-f", "-y", "-qq", "-s", "0", "-e", f"trace={TRACED}", "-e", "signal=none", "-o", str(trace)]
    return subprocess.Popen(
        ["strace", *options, *command],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def real_service(scratch: Path) -> int:
    """Follow the real processes through a drop, an upload and a deletion. Returns the number of their calls."""
    root, trace, port = scratch / "real" / "spool", scratch / "real.strace", free_port()
    root.parent.mkdir()
    environ = {
        "PROTOSCALE_SPOOL": str(root), "PROTOSCALE_PORT": str(port), "PROTOSCALE_RESERVE": "1M",
        "PROTOSCALE_QUALITY": "draft", "ENGINE": "silhouette", "REMBG_MODEL": "u2netp",
        "U2NET_HOME": os.environ.get("PROTOSCALE_TEST_U2NET_HOME", str(ROOT / "build" / "u2net")),
    }  # fmt: skip
    process = _traced(trace, sys.executable, "-m", "daemon.cli", "run", **environ)
    try:
        spool = Spool(root)
        until(lambda: _ended(process) or _answers(port), 300)
        (root / "inbox" / "dropped.png").write_bytes(picture())
        form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        start = b'\r\n--x\r\nContent-Disposition: form-data; name="start"\r\n\r\ntrue\r\n--x--\r\n'
        uploaded = _ask(port, "POST", "/api/upload", form + picture() + start)["job_id"]
        until(lambda: len(spool.waiting("done")) + len(spool.waiting("failed")) == 2, 300)
        _ask(port, "DELETE", f"/api/jobs/{uploaded}")
        os.kill(int(json.loads((root / "supervisor.json").read_bytes())["pid"]), signal.SIGTERM)
        assert process.wait(300) == 0
    finally:
        process.kill()
        process.wait()
    calls = heard(trace, root.parent)
    model = Disk(root.parent)
    drop = Call("creat", str(root / "inbox" / "dropped.png"))
    for call in calls:
        if call.name == "rename" and call.path == drop.path:
            model.after(drop)  # written by us, outside the trace
        model.after(call)
    assert _names(model, 0) == _tree(root.parent), "the model ends elsewhere than the disk"
    return len(calls)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the service did not start; are the models there (`make setup`)?"
    return False


def _answers(port: int) -> bool:
    try:
        health = _ask(port, "GET", "/health")
    except (OSError, http.client.HTTPException):
        return False
    return any(device["state"] == "idle" for device in json.loads(health["devices"]))


def _ask(port: int, method: str, path: str, body: bytes | None = None) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Content-Type": "multipart/form-data; boundary=x"} if body else {}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status < 400, text
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in json.loads(text or b"{}").items()
    }


def _names(model: Disk, folder: int) -> dict[str, object]:
    return {
        name: _names(model, inode) if inode in model.now else None
        for name, inode in sorted(model.now[folder].items())
    }


def _tree(folder: Path) -> dict[str, object]:
    return {path.name: _tree(path) if path.is_dir() else None for path in sorted(folder.iterdir())}


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="every life, and the real service")
    options.add_argument("--live", nargs=2, metavar=("NUMBER", "BASE"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.live:
        _live(int(given.live[0]), Path(given.live[1]))
        return 0
    if why := impossible():
        print(f"crash-trace: skipped: {why}")
        return CANNOT
    numbers = range(len(LIVES)) if given.full else (2,)
    with tempfile.TemporaryDirectory() as name:
        calls = sum(same_life(number, Path(name)) for number in numbers)
        print(f"crash-trace: {calls} calls of {len(numbers)} lives seen alike by shim and strace", end="")
        if given.full:
            real = real_service(Path(name))
            print(
                f"; {real} calls of the real service, all known to the model, which ends as the disk does",
                end="",
            )
    print()
    return 0


def impossible() -> str:
    """Why it cannot run here; empty where it can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    if subprocess.run(
        ["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False
    ).returncode:
        return "this process may not trace others"
    return ""


if __name__ == "__main__":
    sys.exit(main())
