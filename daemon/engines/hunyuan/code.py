"""Importing the checkout's code: what has to be true of `sys.path` and `sys.modules` before, and nothing else."""

from __future__ import annotations

import gc
import logging
import sys
import types
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from daemon.engines.hunyuan.checkout import Checkout
from daemon.errors import EngineUnavailable
from daemon.extras import installed

log = logging.getLogger(__name__)

INSTALL = f"Run {installed('hunyuan')}."

_kept: list[Any] = []
"""Operator definitions live as long as the library object that made them."""


def shape_modules(checkout: Checkout) -> Any:
    """The package `hy3dshape`, ready to use. Raises `EngineUnavailable`."""
    _prepare(checkout, texture=False)
    known = "hy3dshape" in sys.modules
    module = _import("hy3dshape")
    if not known:
        _freeze()
    return module


def paint_modules(checkout: Checkout) -> types.SimpleNamespace:
    """The parts of `hy3dpaint` that texture needs, by the names they have there. Raises `EngineUnavailable`."""
    _prepare(checkout, texture=True)
    try:
        import custom_rasterizer  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(
            f"custom_rasterizer cannot be imported ({error}). Build it: `pip install --no-build-isolation "
            f"{checkout.root}/hy3dpaint/custom_rasterizer`; or set ENABLE_TEXTURE=false."
        ) from error
    known = "hunyuanpaintpbr" in sys.modules
    parts = types.SimpleNamespace(
        MeshRender=_import("DifferentiableRenderer.MeshRender").MeshRender,
        ViewProcessor=_import("utils.pipeline_utils").ViewProcessor,
        config=_import("textureGenPipeline").Hunyuan3DPaintConfig,
        pipeline=_import("hunyuanpaintpbr.pipeline").HunyuanPaintPipeline,
        unet=_import("hunyuanpaintpbr.unet.modules").UNet2p5DConditionModel,
        dino=_import("hunyuanpaintpbr.unet.modules").Dino_v2,
        attention=_import("hunyuanpaintpbr.unet.attn_processor"),
    )
    if not known:
        _freeze()
    return parts


def check_versions() -> None:
    """Raises `EngineUnavailable` where a package is missing or too new for the checkout's code."""
    for name in ("torch", "torchvision", "transformers", "diffusers", "einops", "omegaconf"):
        try:
            found = version(name)
        except PackageNotFoundError:
            raise EngineUnavailable(f"The package {name} is not installed. {INSTALL}") from None
        if name == "transformers" and int(found.partition(".")[0]) >= 5:
            raise EngineUnavailable(
                f"transformers {found} names DINO's weights differently, so the model cannot load. {INSTALL} "
                "It takes transformers<5."
            )


def _prepare(checkout: Checkout, *, texture: bool) -> None:
    checkout.require(texture=texture)
    check_versions()
    for path in reversed(checkout.import_paths):
        if str(path) not in sys.path:
            sys.path.insert(0, str(path))
    _import_torchvision()
    # Both are imported unconditionally. bpy (Blender) only converts OBJ to GLB, which we do ourselves; pymeshlab
    # only backs post-processors that leave files behind, for which `cleanup` stands in.
    for name in ("bpy", "pymeshlab"):
        sys.modules.setdefault(name, _Absent(name))


class _Absent(types.ModuleType):
    """Stands for a package that the checkout imports and we never use: any name in it is a type without instances."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _freeze() -> None:
    """Keep what the imports made out of every later collection: it never goes, and looking through it takes as long
    as a small model step. Called when code was imported, which is before any model is loaded."""
    gc.collect()
    gc.freeze()


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise EngineUnavailable(
            f"The code of Hunyuan3D-2.1 cannot be imported: {error}. {INSTALL}"
        ) from error


def _import_torchvision() -> None:
    """torchvision, also where its native operators were built for another torch.

    The checkout uses its Python transforms only. A build that does not match fails while it registers shapes
    for operators that are not there, so those are declared first.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise EngineUnavailable(f"torchvision cannot be imported: {error}. {INSTALL}") from error
        log.info("torchvision's native operators do not fit this torch; its Python transforms are used")
        import torch

        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        operators = torch.library.Library("torchvision", "DEF")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(operators)
        import torchvision  # noqa: F401
