"""In a process of the service: the CPU as a card of CARD_BYTES, of which the weights that are alive take their part.

`TorchDevice` asks psutil for the memory of a CPU, and nothing else in the service does.
"""

from __future__ import annotations

import gc
import os
import sys
from types import SimpleNamespace

import psutil

SIZE = int(os.environ["CARD_BYTES"])


def memory() -> SimpleNamespace:
    """What psutil.virtual_memory tells, as far as it is asked."""
    torch = sys.modules.get("torch")
    taken = 0
    if torch:
        weights = (one for one in gc.get_objects() if issubclass(type(one), torch.nn.Parameter))
        taken = sum(one.numel() * one.element_size() for one in weights)
    return SimpleNamespace(total=SIZE, available=SIZE - taken)


psutil.virtual_memory = memory  # type: ignore[assignment]
