"""Dying with the parent: no worker and no server outlives its supervisor."""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent, the process `parent`, dies.

    PR_SET_PDEATHSIG alone leaves an orphan where the parent died before the call: nothing dies afterwards to
    set it off. So the parent is looked at once more after setting it. It also fires when the *thread* that
    spawned this process exits, so processes are spawned from the supervisor's main thread only.
    """
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)
