"""The real code of Hunyuan3D-2.1 with weights made here: what several tests of the engine share."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import Config
from daemon.engines.hunyuan.checkout import Checkout
from tests.support import config as settings_for

BUILD = Path(__file__).parents[2] / "build" / "hunyuan"
NATIVE = Path(__file__).parent / "native"
"""Holds what stands in for the checkout's native modules."""

LIMITS = "steps=4,octree=32,faces=3000,views=2,resolution=64,paint_steps=2,render=128,texture=256"


# Before torch is imported: on a busy machine its threads mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def why_not() -> str | None:
    """Why the real code cannot run here, or None where it can."""
    if not (BUILD / "code" / "hy3dshape").is_dir():
        told = BUILD / "missing.txt"
        return told.read_text().strip() if told.exists() else "run `make test`, which fetches what this needs"
    import importlib.util

    for name in ("torch", "diffusers", "timm", "xatlas"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed; `make test` installs it"
    return None


@pytest.fixture(scope="session")
def checkout() -> Checkout:
    """The code, importable. Skips where it cannot be had, and says why."""
    reason = why_not()
    if reason:
        pytest.skip(f"the code of Hunyuan3D-2.1 is not here: {reason}")
    return Checkout(BUILD / "code")


@pytest.fixture(scope="session")
def shape_weights(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `hunyuan3d-dit-v2-1/` with tiny weights."""
    from daemon.engines.hunyuan import code

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code.shape_modules(checkout)
        from tests.hunyuan import tiny_shape

        folder = tmp_path_factory.mktemp("weights")
        tiny_shape.write(folder)
    return folder


@pytest.fixture(scope="session")
def environ(checkout: Checkout, shape_weights: Path, u2net_home: Path) -> dict[str, str]:
    """The settings of a service that makes geometry with the tiny weights."""
    return {
        "ENGINE": "hunyuan",
        "HUNYUAN_PATH": str(checkout.root),
        "MODEL_PATH": str(shape_weights),
        "HUNYUAN_CKPT_DIR": "/nowhere",
        "ENABLE_TEXTURE": "false",
        "PROTOSCALE_HUNYUAN_LIMITS": LIMITS,
        "REMBG_MODEL": "u2netp",
        "U2NET_HOME": str(u2net_home),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="session")
def paint_weights(checkout: Checkout, shape_weights: Path) -> Path:
    """The same folder with the tiny texture weights beside."""
    from daemon.engines.hunyuan import code

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.path.append(str(NATIVE))
        code.paint_modules(checkout)
        from tests.hunyuan import tiny_paint

        tiny_paint.write(shape_weights)
    return shape_weights


@pytest.fixture(scope="session")
def paint_environ(environ: dict[str, str], paint_weights: Path) -> dict[str, str]:
    """The settings of a service that makes textured models with the tiny weights."""
    limits = LIMITS.replace("faces=3000", "faces=600")
    return {
        **environ,
        "ENABLE_TEXTURE": "true",
        "PROTOSCALE_HUNYUAN_LIMITS": limits,
        "PYTHONPATH": str(NATIVE),
    }


@pytest.fixture
def config(tmp_path: Path, environ: dict[str, str]) -> Config:
    return settings_for(tmp_path / "spool", **environ)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path) -> Iterator[None]:
    """The checkout's code writes into the working directory in places."""
    here = Path.cwd()
    os.chdir(tmp_path)
    yield
    os.chdir(here)
