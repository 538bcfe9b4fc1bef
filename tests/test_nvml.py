"""GPU metrics from a driver that answers as NVML does, and from none."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from daemon.nvml import Gpus
from httpd.health import device
from spool import lock
from spool.board import Board, Slot


def driver(**answers: Any) -> ModuleType:
    """A module like `pynvml`: what is not given raises, as cards do that cannot say."""
    module = ModuleType("pynvml")

    class NVMLError(Exception):
        """What NVML raises."""

    def refuse(*_: object) -> None:
        raise NVMLError("not supported")

    module.NVMLError = NVMLError  # type: ignore[attr-defined]
    module.NVML_TEMPERATURE_GPU = 0  # type: ignore[attr-defined]
    for name in (
        "Init",
        "DeviceGetHandleByIndex",
        "DeviceGetMemoryInfo",
        "DeviceGetUtilizationRates",
        "DeviceGetPowerUsage",
        "DeviceGetName",
        "DeviceGetTemperature",
        "DeviceGetComputeRunningProcesses",
    ):
        answer = answers.get(name)
        setattr(module, f"nvml{name}", refuse if answer is None else (lambda *_, answer=answer: answer))
    return module


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = driver(
        Init=True,
        DeviceGetHandleByIndex="handle",
        DeviceGetMemoryInfo=SimpleNamespace(used=5 << 30, total=24 << 30),
        DeviceGetUtilizationRates=SimpleNamespace(gpu=87),
        DeviceGetPowerUsage=301_234,
        DeviceGetName="NVIDIA RTX",
        DeviceGetTemperature=64,
        DeviceGetComputeRunningProcesses=[SimpleNamespace(pid=42, usedGpuMemory=4 << 30)],
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)


def test_everything_the_card_says(card: None) -> None:
    told = Gpus().look("cuda:0", 42)
    assert told is not None
    assert asdict(told) == {
        "name": "NVIDIA RTX",
        "used_bytes": 5 << 30,
        "total_bytes": 24 << 30,
        "process_bytes": 4 << 30,
        "utilisation": 87,
        "temperature": 64,
        "power_watts": 301,
    }
    assert Gpus().look("cuda:0", 43).process_bytes is None  # type: ignore[union-attr]
    assert Gpus().look("cpu", 42) is None


def test_what_a_card_does_not_say_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(Init=True, DeviceGetHandleByIndex="handle"))
    told = Gpus().look("cuda:0", None)
    assert told is not None and set(asdict(told).values()) == {None}


@pytest.mark.parametrize("module", [None, driver()])
def test_without_a_driver_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert Gpus().look("cuda:0", 1) is None


def test_from_the_board_to_the_api(card: None, tmp_path: Path) -> None:
    slot = Slot(
        "geometry-cuda0",
        "geometry",
        "cuda:0",
        ("geometry",),
        "idle",
        None,
        None,
        42,
        0,
        0.0,
        1,
        0,
        Gpus().look("cuda:0", 42),
    )
    Board(1, "now", "hunyuan", None, (), (slot, Slot(**{**asdict(slot), "gpu": None}))).write(tmp_path)
    held = lock.take(tmp_path)
    board = Board.read(tmp_path)
    assert board is not None
    first, second = (device(worker) for worker in board.workers)
    assert first["gpu"] == "NVIDIA RTX" and first["memory"]["used_bytes"] == 5 << 30
    assert first["temperature"] == 64 and first["power_watts"] == 301 and first["utilisation"] == 87
    assert second["gpu"] is None and second["memory"]["used_bytes"] is None
    import os

    os.close(held)
