"""Which engine runs here. The concrete engine is imported by `build` alone, inside the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.config import Config
from daemon.engines.hunyuan import checkout as checkouts
from daemon.engines.hunyuan.weights import Weights
from daemon.errors import EngineUnavailable
from daemon.extras import installed

if TYPE_CHECKING:
    from daemon.devices import Post
    from daemon.engines.base import Engine
    from daemon.engines.hunyuan.engine import HunyuanEngine

SILHOUETTE = "silhouette"
HUNYUAN = "hunyuan"
DEVICES = {SILHOUETTE: ("cpu",), HUNYUAN: ("cuda", "cpu")}
"""The kinds of device each engine can use."""
LEAVES_WORK = (HUNYUAN,)
"""Engines whose steps leave work for a finisher."""


def chosen(config: Config) -> str:
    """The name of the engine that `ENGINE` means on this machine; found without importing it.

    `auto` is `hunyuan` where a checkout and a GPU are there: on a CPU its models take hours a job, which nobody
    wants without asking. `HUNYUAN_PATH` that names no checkout is an error later, not a reason to do with less.
    """
    if config.engine != "auto":
        return config.engine
    found = checkouts.find(config.hunyuan_path)
    from daemon.devices import present

    return HUNYUAN if found and present() != ["cpu"] else SILHOUETTE


def build(config: Config, post: Post) -> Engine:
    """The engine for a worker at `post`. Imports it, loads no model. Raises `EngineUnavailable`."""
    if chosen(config) == HUNYUAN:
        return hunyuan(config, post)
    from daemon.engines.background import BackgroundRemover
    from daemon.engines.silhouette.engine import SilhouetteEngine

    return SilhouetteEngine(BackgroundRemover(config.rembg_model, config.u2net_home))


def hunyuan_weights(config: Config) -> Weights:
    """Where the weights are looked for."""
    found = checkouts.find(config.hunyuan_path)
    return Weights.of(config.model_path, config.hunyuan_ckpt_dir, found.root if found else None)


def hunyuan(config: Config, post: Post) -> HunyuanEngine:
    """The GPU engine. Raises `EngineUnavailable` where its packages or its checkout are not here."""
    found = checkouts.find(config.hunyuan_path)
    if found is None:
        raise EngineUnavailable(
            f"There is no checkout of Hunyuan3D-2.1 at {' or '.join(checkouts.PLACES)}. Run `{checkouts.CLONE}` "
            "and set HUNYUAN_PATH."
        )
    found.require(texture=config.enable_texture)
    try:
        from daemon.engines.background import BackgroundRemover
        from daemon.engines.hunyuan.device import TorchDevice
        from daemon.engines.hunyuan.engine import HunyuanEngine
    except ImportError as error:
        raise EngineUnavailable(f"{error.name} is not installed. Run {installed('hunyuan')}.") from error
    return HunyuanEngine(
        BackgroundRemover(config.rembg_model, config.u2net_home),
        found,
        hunyuan_weights(config),
        TorchDevice(post.device.partition(":")[0], post.device),
        stages=post.stages,
        limits=config.hunyuan_limits,
        texture=config.enable_texture,
        flashvdm=config.flashvdm,
        offload=config.offload,
    )
