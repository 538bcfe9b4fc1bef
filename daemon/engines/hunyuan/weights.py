"""The weights: which parts there are, where each lies, what is missing. Reads no weights and imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.engines.base import Progress

SHAPE = "hunyuan3d-dit-v2-1"
PAINT = "hunyuan3d-paintpbr-v2-1"
DINO = "dinov2-giant"
REALESRGAN = "RealESRGAN_x4plus.pth"

MODEL = "tencent/Hunyuan3D-2.1"
"""The name on the hub, the default of MODEL_PATH."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    SHAPE: ("config.yaml", "model.fp16.ckpt"),
    # Its text encoder, tokenizer and feature extractor are never asked: the prompt is a learned tensor.
    PAINT: (
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "vae/config.json",
        "scheduler/scheduler_config.json",
    ),
    DINO: ("config.json", "preprocessor_config.json"),
}


@dataclass(frozen=True)
class Weights:
    """Where the parts are looked for, in order: folders as MODEL_PATH and HUNYUAN_CKPT_DIR name them."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, model_path: str, ckpt_dir: Path, checkout: Path | None) -> Weights:
        """`model_path` is a folder of weights or a name on the hub; only a folder is looked into."""
        named = Path(model_path).expanduser()
        folders = [*([named] if named.is_dir() else []), ckpt_dir]
        if checkout:
            # Where the READMEs of the checkout say to put them.
            folders += [checkout / "weights", checkout / "hy3dpaint" / "ckpt"]
        return cls(tuple(folder.absolute() for folder in folders))

    def folder(self, part: str) -> Path | None:
        """The folder that holds all files of `part`, or None."""
        return next((folder for folder in self._places(part) if not _missing(folder, part)), None)

    def missing(self, part: str) -> str | None:
        """What is missing of `part`, in words; None where it is whole."""
        if self.folder(part):
            return None
        for folder in self._places(part):
            if folder.is_dir():
                return f"{folder} lacks {', '.join(_missing(folder, part))}"
        return f"{part} is in none of {', '.join(map(str, self.folders))}"

    @property
    def upscaler(self) -> Path | None:
        """The RealESRGAN checkpoint, or None."""
        return next((path for folder in self.folders if (path := folder / REALESRGAN).is_file()), None)

    def size(self, part: str) -> int:
        """Bytes of the weight files of `part`; 0 where it is missing."""
        return sum(path.stat().st_size for path in self.files(part))

    def files(self, part: str) -> list[Path]:
        """The weight files of `part` that are loaded; none where it is missing."""
        folder = self.folder(part)
        kinds = (".ckpt", ".bin", ".safetensors")
        unused = ("text_encoder", "image_encoder")
        return [
            path
            for path in (sorted(folder.rglob("*")) if folder else ())
            if path.suffix in kinds and path.parent.name not in unused
        ]

    def read_ahead(self, parts: Sequence[str], progress: Progress) -> None:
        """Bring the weight files into the page cache, where the libraries that load them find them at once.

        Those say nothing for as long as a cold disk takes, which may be minutes; this tells every 64 MB.
        """
        files = [path for part in parts for path in self.files(part)]
        total, done = sum(path.stat().st_size for path in files), 0
        block = bytearray(64 << 20)
        for path in files:
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(block):
                    done += count
                    progress(0.0, f"loading: {done / 1e9:.1f} of {total / 1e9:.1f} GB")

    def _places(self, part: str) -> list[Path]:
        places = [folder / part for folder in self.folders]
        if part == DINO and (snapshot := _hub_snapshot("facebook/dinov2-giant")):
            places.append(snapshot)
        return places


def _missing(folder: Path, part: str) -> list[str]:
    return [name for name in REQUIRED[part] if not (folder / name).is_file()]


def _hub_snapshot(name: str) -> Path | None:
    """The newest copy of a model in huggingface_hub's cache, found without importing it."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.iterdir(), key=lambda path: path.stat().st_mtime) if snapshots.is_dir() else []
    return found[-1] if found else None
