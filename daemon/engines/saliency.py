"""The network that tells the object from its background: one of rembg's sessions, loaded small."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from daemon.errors import EngineError, EngineUnavailable
from spool import command

THREADS = 4


class SaliencyNetwork:
    """The weights at `path`, for rembg's session called `name`, in memory and ready.

    `providers` are ONNX Runtime's, best first; what it falls back to is in `providers` afterwards.
    Raises `EngineUnavailable`.
    """

    def __init__(self, name: str, path: Path, providers: Sequence[str]) -> None:
        rembg = import_rembg()
        # rembg looks for its models where the environment says, at the moment a session is made.
        with _environment("U2NET_HOME", str(path.parent)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it fell back: said by `providers`
            try:
                session = rembg.new_session(name, sess_opts=_options(), providers=list(providers))
            except _onnx_errors() as error:
                raise EngineUnavailable(
                    f"{path} does not load ({error}). Delete it and run {command.typed(f'models pull {name}')}."
                ) from error
        self.providers: list[str] = list(session.inner_session.get_providers())
        self._confidence = session.inner_session = _Confidence(session.inner_session)
        self._session = session
        self._remove = rembg.remove

    def mask(self, photo: Image.Image) -> tuple[Image.Image, float]:
        """The mask of the most striking object in an RGB `photo` (mode L, as large), and how sure of it, 0 to 1."""
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # a division by zero where the network answers with one flat value
            try:
                mask = self._remove(photo, session=self._session, only_mask=True)
            except _onnx_errors() as error:
                raise EngineError(f"Background removal failed on {self.providers[0]}: {error}") from error
        assert isinstance(mask, Image.Image)
        return mask, self._confidence.highest


class _Confidence:
    """An ONNX session that remembers its highest answer.

    rembg stretches every answer to the full range, so that a blank wall gets as bold a mask as an object.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self.highest = 0.0

    def run(self, *arguments: Any) -> Any:
        answers = self._session.run(*arguments)
        self.highest = float(answers[0].max())
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def require_rembg() -> None:
    """Raises `EngineUnavailable` where rembg cannot be imported; without ONNX Runtime it would exit instead."""
    if not all(importlib.util.find_spec(name) for name in ("rembg", "onnxruntime")):
        raise EngineUnavailable("rembg with ONNX Runtime is not installed. Run `pip install 'rembg[cpu]'`.")


def import_rembg() -> ModuleType:
    """The package rembg, imported in a second where a plain import takes most of a minute the first time."""
    require_rembg()
    with _without_jit():
        return importlib.import_module("rembg")


@contextmanager
def _without_jit() -> Iterator[None]:
    """Keep numba from compiling pymatting, which rembg imports whole: 45 s and 540 MB the first time.

    Its cache of that lies beside the package, where a service may not write. Nothing of pymatting is used here
    (no alpha matting), so it stays plain Python, and numba is as it was for everybody else.
    """
    if importlib.util.find_spec("numba") is None:
        yield
        return
    config = importlib.import_module("numba").config
    before, config.DISABLE_JIT = config.DISABLE_JIT, True
    try:
        yield
    finally:
        config.DISABLE_JIT = before


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _options() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The arena keeps the memory of its fullest moment: 470 MB for 0.05 s a photo.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = min(THREADS, len(os.sched_getaffinity(0)))
    # Threads that spin between two layers take the cores from the other worker.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _onnx_errors() -> tuple[type[Exception], ...]:
    """All that ONNX Runtime raises of its own; the classes share no base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (
        value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)
    )
    return (*own, RuntimeError, ValueError)
