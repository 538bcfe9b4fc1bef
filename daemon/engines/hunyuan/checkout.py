"""The checkout of Hunyuan3D-2.1: where it lies, whether it is the right one. Imports none of its code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import EngineUnavailable

PLACES = ("~/Hunyuan3D-2.1", "/opt/Hunyuan3D-2.1")
CLONE = "git clone https://github.com/Tencent-Hunyuan/Hunyuan3D-2.1"

SHAPE_FILES = ("hy3dshape/hy3dshape/pipelines.py", "hy3dshape/hy3dshape/models/denoisers/hunyuandit.py")
PAINT_FILES = (
    "hy3dpaint/textureGenPipeline.py",
    "hy3dpaint/hunyuanpaintpbr/pipeline.py",
    "hy3dpaint/DifferentiableRenderer/MeshRender.py",
)


@dataclass(frozen=True)
class Checkout:
    """A folder that holds `hy3dshape/` and `hy3dpaint/`."""

    root: Path

    @property
    def import_paths(self) -> list[Path]:
        """What must be on `sys.path`, first to last. `hy3dpaint` brings a top-level package named `utils`."""
        paint = self.root / "hy3dpaint"
        return [self.root / "hy3dshape", paint, paint / "custom_rasterizer"]

    def missing(self, *, texture: bool) -> list[str]:
        """The files that a Hunyuan3D-2.1 checkout has and this folder has not."""
        wanted = SHAPE_FILES + (PAINT_FILES if texture else ())
        return [name for name in wanted if not (self.root / name).is_file()]

    def require(self, *, texture: bool) -> None:
        """Raises `EngineUnavailable` with what to do where this is no checkout of Hunyuan3D-2.1."""
        missing = self.missing(texture=texture)
        if not missing:
            return
        if not self.root.is_dir():
            raise EngineUnavailable(f"HUNYUAN_PATH={self.root} is not a folder. Run `{CLONE} {self.root}`.")
        if (self.root / "hy3dgen").is_dir():
            raise EngineUnavailable(
                f"{self.root} is a checkout of Hunyuan3D-2 (it holds hy3dgen/), not of Hunyuan3D-2.1. "
                f"Run `{CLONE}` and set HUNYUAN_PATH to the folder it makes."
            )
        raise EngineUnavailable(
            f"{self.root} is not a whole checkout of Hunyuan3D-2.1: {missing[0]} is missing. Run `{CLONE}` and "
            "set HUNYUAN_PATH to the folder it makes."
        )


def find(named: Path | None, places: Sequence[str] = PLACES) -> Checkout | None:
    """The checkout that HUNYUAN_PATH names, else the first usual place that holds one; None where none does.

    A named folder is returned whether or not it is a checkout: `require` says what is wrong with it.
    """
    if named is not None:
        return Checkout(named)
    for place in places:
        checkout = Checkout(Path(place).expanduser())
        if not checkout.missing(texture=False):
            return checkout
    return None
