"""The device that torch works on, as `Memory` needs it."""

from __future__ import annotations

import gc

import psutil
import torch

from daemon.errors import DeviceLost

_DEAD = (
    "illegal memory access",
    "device-side assert",
    "unspecified launch failure",
    "misaligned address",
    "illegal instruction",
    "invalid program counter",
    "hardware stack error",
    "uncorrectable ecc",
    "device lost",
    "unable to determine the device handle",
)
"""Words of CUDA errors after which every later call of the process fails too."""


class TorchDevice:
    """`cuda:0`, the one card this worker sees, or `cpu`. `known_as` is the name the operator gave it."""

    def __init__(self, kind: str, known_as: str) -> None:
        self.torch = torch.device("cuda:0" if kind == "cuda" else "cpu")
        self.name = known_as

    @property
    def is_cuda(self) -> bool:
        return bool(self.torch.type == "cuda")

    @property
    def dtype(self) -> torch.dtype:
        """float16 where a GPU computes, float32 on the CPU, which is slow or wrong with less."""
        return torch.float16 if self.is_cuda else torch.float32

    def free(self) -> int:
        if not self.is_cuda:
            return int(psutil.virtual_memory().available)
        try:
            free, _ = torch.cuda.mem_get_info(self.torch)
            # What torch's allocator holds and no tensor uses is free for this process too.
            held = torch.cuda.memory_reserved(self.torch) - torch.cuda.memory_allocated(self.torch)
        except RuntimeError as error:
            raise DeviceLost(f"{self.name} does not answer: {error}") from error
        return int(free + held)

    def total(self) -> int:
        if not self.is_cuda:
            return int(psutil.virtual_memory().total)
        return int(torch.cuda.get_device_properties(self.torch).total_memory)

    def clean(self) -> None:
        gc.collect()
        if not self.is_cuda:
            return
        try:
            torch.cuda.synchronize(self.torch)
            torch.cuda.empty_cache()
            torch.cuda.ipc_collect()
        except RuntimeError as error:
            raise DeviceLost(f"{self.name} does not answer: {error}") from error

    def ran_out(self, error: BaseException) -> bool:
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
            return True
        # cuBLAS and cuDNN have words of their own for it, and the CPU's allocator too.
        text = str(error).lower()
        return isinstance(error, RuntimeError) and (
            "out of memory" in text or "cublas_status_alloc_failed" in text or "can't allocate memory" in text
        )

    def died(self, error: BaseException) -> bool:
        text = str(error).lower()
        return isinstance(error, RuntimeError) and any(words in text for words in _DEAD)
