"""Reading strangers' bytes in a process of their own.

A picture is a program for its decoder. The process that owns a CUDA context, or serves everybody, does not run it: a
child does, with a ceiling on its memory and time, no way to open another file or socket, and nothing to lose. The
child calls `enter` once everything it needs is imported; the parent calls `call`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from spool.errors import SpoolError

PACKAGES = Path(__file__).parent.parent
"""Where our packages lie: `-m` puts the working directory first on the path, and it must be this one."""
_CLONE_NEWNET = 0x40000000
_left = False


class OverLimits(SpoolError):
    """The child needed more memory or time than it may have, or its decoder crashed."""


def enter(memory: int, seconds: int) -> None:
    """Give up, for the rest of this process, what decoding does not need.

    `memory` is bytes beyond what the process has mapped by now. No descriptor can be opened any more, so neither can
    a file nor a socket; descriptors that are open stay good.
    """
    leave_network()
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def leave_network() -> None:
    """Only the privileged may leave the network's namespace; for the others the descriptor limit is what counts.

    Done once: a namespace takes the kernel milliseconds, and a child forked afterwards is in it already.
    """
    global _left
    if not _left:
        _left = True
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET)


def minimal_environment() -> dict[str, str]:
    """What a decoder's process is told of its surroundings.

    One malloc arena: each thread's own would count against the limit without being used.
    """
    return {"PATH": os.environ.get("PATH", ""), "MALLOC_ARENA_MAX": "1", "LANG": "C.UTF-8"}


def call(module: str, arguments: Sequence[object], file: BinaryIO, seconds: float) -> bytes:
    """Run `python -m module arguments` with `file` as its standard input, and return what it prints.

    Raises OverLimits where it takes longer than `seconds` or ends with anything but 0.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    try:
        run = subprocess.run(
            command,
            stdin=file,
            capture_output=True,
            timeout=seconds,
            cwd=PACKAGES,
            env=minimal_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OverLimits(f"it takes longer than {seconds:g} s to decode") from None
    if run.returncode < 0:
        raise OverLimits(f"its decoder was stopped by signal {-run.returncode}")
    if run.returncode != 0:
        last = run.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise OverLimits(f"its decoder gave up: {' '.join(last) or run.returncode}")
    return run.stdout
