"""A process that has everything imported and forks a confined child for each stranger's file.

`spool.confine.call` starts an interpreter and its imports anew for each file, which costs a tenth of a second. A
worker reads photo after photo, so it keeps one such process warm: the process itself never looks at a file, and the
child that does is as new, as confined and as short-lived as the other. The two talk over a socket that is the
process's standard input; files and answers go by descriptor. It ends when that socket does.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from spool.confine import PACKAGES, OverLimits, leave_network, minimal_environment
from spool.parent import die_with

Work = Callable[[Sequence[Any], BinaryIO, BinaryIO], None]
"""What the child does: of its arguments, the file, and where its answer goes. It calls `spool.confine.enter`."""

_LONGEST_MESSAGE = 1 << 16
_GRACE = 5.0


class Zygote:
    """The caller's side. Used by one thread; the process is started when it is first wanted, and again if it dies."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def warm(self) -> None:
        """Start the process if there is none; it imports while the caller goes on."""
        if self._process is not None and self._process.poll() is None:
            return
        self.stop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                stdin=theirs.fileno(),
                cwd=PACKAGES,
                env=minimal_environment(),
            )
        self._line = ours

    @property
    def pid(self) -> int | None:
        """The process, where there is one."""
        return self._process.pid if self._process else None

    def call(self, arguments: Sequence[object], file: BinaryIO, seconds: float, most: int) -> bytes:
        """Have a new child do its work on `file`; what it answers, `most` bytes of it.

        Raises OverLimits where it takes longer than `seconds` or ends with anything but 0.
        """
        answer = os.memfd_create("answer", os.MFD_CLOEXEC)
        try:
            line = self._ask(json.dumps([most, *arguments]).encode(), (file.fileno(), answer))
            line.settimeout(seconds)
            try:
                told = line.recv(_LONGEST_MESSAGE)
            except TimeoutError:
                self.stop()
                raise OverLimits(f"it takes longer than {seconds:g} s to decode") from None
            except ConnectionResetError:
                told = b""
            if not told:
                self.stop()
                raise OverLimits("the process that starts its decoder died")
            with open(answer, "rb", closefd=False) as content:
                content.seek(0)
                said = content.read(most)
        finally:
            os.close(answer)
        code = int(told)
        if code < 0:
            raise OverLimits(f"its decoder was stopped by signal {-code}")
        if code > 0:
            last = said[-1000:].decode(errors="replace").strip().splitlines()[-1:]
            raise OverLimits(f"its decoder gave up: {' '.join(last) or code}")
        return said

    def stop(self) -> None:
        """End the process, and the child that it may have."""
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _ask(self, message: bytes, descriptors: tuple[int, int]) -> socket.socket:
        for _ in range(2):
            self.warm()
            assert self._line
            try:
                socket.send_fds(self._line, [message], descriptors)
            except (BrokenPipeError, ConnectionResetError):
                self.stop()  # it died while it had nothing to do: a new one takes over
            else:
                return self._line
        raise OverLimits("the process that starts its decoder dies again and again")


def serve(work: Work) -> None:
    """The process's side: fork a child for each request, until the line ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they reach a whole group; whoever asked us decides
    leave_network()
    gc.freeze()
    line = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(line, _LONGEST_MESSAGE, 2)
        except ConnectionResetError:
            return
        if not message:
            return
        ours = os.getpid()
        child = os.fork()
        if child == 0:
            _run(ours, work, json.loads(message), (*descriptors, nowhere))
        for descriptor in descriptors:
            os.close(descriptor)
        code = _watch(child, line)
        try:
            line.send(str(code).encode())
        except (BrokenPipeError, ConnectionResetError):
            return


def _watch(child: int, line: socket.socket) -> int:
    """Wait for the child's end, and hasten it when whoever asked has gone."""
    watched = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        poll.register(line, select.POLLIN)
        if all(descriptor != watched for descriptor, _ in poll.poll()):
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(watched)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(parent: int, work: Work, request: Sequence[Any], descriptors: Sequence[int]) -> None:
    """The child: its file, a place for its answer, nothing else. Never returns."""
    code = 1
    try:
        die_with(parent)
        for place, descriptor in enumerate(descriptors):  # none of them is 0, 1 or 2: those were open before
            os.dup2(descriptor, place)
        os.closerange(3, 256)
        most, *arguments = request
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        with open(0, "rb", closefd=False) as source, open(1, "wb", closefd=False) as target:
            try:
                work(arguments, source, target)
            except Exception as error:  # noqa: BLE001  told to whoever asked: the child's last words
                target.seek(0)
                target.write(f"{type(error).__name__}: {error}".encode(errors="replace"))
            else:
                code = 0
    finally:
        os._exit(code)
