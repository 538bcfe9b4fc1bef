"""The object cut out of its photo, with rembg."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from daemon import garbage
from daemon.engines import matte
from daemon.engines.base import JSON, Cutout, Progress
from daemon.engines.saliency import SaliencyNetwork, require_rembg
from daemon.errors import BadJob, EngineUnavailable
from daemon.models import FALLBACK, known, locate, verified
from spool import command

# Blank walls, skies and texture close-ups get 0.06 at most, the faintest of real objects 0.8.
CONFIDENT = 0.3
SMALLEST = 64  # pixels
FULL = 0.95  # of the frame
TOUCHING = 0.02  # of one edge of the frame
NO_OBJECT = (
    "No object was found in the photo. Send one that shows the object large and clear of its background, "
    "or a PNG whose background is already transparent, or keep the background with remove_bg=false."
)


class BackgroundRemover:
    """rembg with one model on one device. The session is loaded by the first photo that needs it.

    `model` is a name of `daemon.models`, `home` the folder it lies in, `providers` what ONNX Runtime shall run
    on, best first. Raises `UnknownModel`.
    """

    def __init__(self, model: str, home: Path, providers: Sequence[str] = ("CPUExecutionProvider",)) -> None:
        self._wanted = known(model).name
        self._home = home
        self._providers = list(providers)
        self._network: SaliencyNetwork | None = None
        self._loaded = ""

    def check(self) -> None:
        """Raises `EngineUnavailable` where no model is there or the one to use is damaged."""
        require_rembg()
        path, name = self._find()
        if not verified(path, known(name)):
            raise _damaged(path, name)

    def versions(self) -> dict[str, str]:
        """Versions of the packages that shape the cut-out."""
        return {name: importlib.metadata.version(name) for name in ("rembg", "onnxruntime", "pillow")}

    def cutout(self, photo: Image.Image, remove_bg: bool, progress: Progress) -> Cutout:
        """Cut the object out of an upright `photo`; the result is RGBA and as large as it.

        A picture with transparency of its own is taken as it is. Raises `BadJob` where nothing is left and
        `EngineUnavailable` where the model is missing.
        """
        photo = photo if photo.mode in ("RGB", "RGBA") else photo.convert("RGBA")
        if photo.mode == "RGBA" and _has_cutout(photo):
            progress(1.0, "using the picture's own transparency")
            cutout = Cutout(photo, ("The picture's own transparency was used.",), {"alpha": "photo"})
        elif remove_bg:
            cutout = self._removed(_opaque(photo), progress)
        else:
            progress(1.0, "keeping the background")
            note = "The background was kept, as asked: the whole frame is the object."
            return Cutout(_opaque(photo).convert("RGBA"), (note,), {"alpha": "kept"})
        return replace(cutout, notes=cutout.notes + _framing(cutout.image))

    def unload(self) -> bool:
        """Give the session's memory back; true when there was one."""
        if self._network is None:
            return False
        self._network, self._loaded = None, ""
        garbage.give_back()
        return True

    def _removed(self, photo: Image.Image, progress: Progress) -> Cutout:
        progress(0.0, "loading the background model")
        network = self._load()
        progress(0.2, "looking for the object")
        mask, confidence = network.mask(photo)
        if confidence < CONFIDENT:
            raise BadJob(NO_OBJECT)
        progress(0.8, "cutting it out")
        cutout = Cutout(matte.cut(photo, mask), self._model_notes(), self._model_facts(network))
        progress(1.0, "cut out")
        return cutout

    def _load(self) -> SaliencyNetwork:
        if self._network is None:
            path, name = self._find()
            if path.stat().st_size != known(name).size:
                raise _damaged(path, name)
            self._network, self._loaded = SaliencyNetwork(name, path, self._providers), name
        return self._network

    def _find(self) -> tuple[Path, str]:
        for name in (self._wanted, FALLBACK):
            if path := locate(name, self._home):
                return path, name
        raise EngineUnavailable(
            f"No background-removal model in {self._home}. Run {command.typed(f'models pull {self._wanted}')}."
        )

    def _model_notes(self) -> tuple[str, ...]:
        if self._loaded == self._wanted:
            return ()
        return (
            f"The background was removed with the small model {self._loaded}, since {self._wanted} is not "
            f"installed; {command.typed(f'models pull {self._wanted}')} fetches it.",
        )

    def _model_facts(self, network: SaliencyNetwork) -> dict[str, JSON]:
        return {
            "alpha": "removed",
            "background_model": self._loaded,
            "background_model_wanted": self._wanted,
            "background_providers": list(network.providers),
        }


def _damaged(path: Path, name: str) -> EngineUnavailable:
    return EngineUnavailable(f"{path} is damaged or cut off. Run {command.typed(f'models pull {name}')}.")


def _has_cutout(photo: Image.Image) -> bool:
    """Whether the alpha channel is a person's cut-out: a good part clearly transparent, some clearly opaque.

    The rounded corners of a screenshot, or a veil over everything, are not.
    """
    alpha = np.asarray(photo.getchannel("A"))
    return float((alpha < 16).mean()) >= 0.01 and bool((alpha >= 240).mean() >= 0.001)


def _opaque(photo: Image.Image) -> Image.Image:
    """RGB; what is translucent lies on white."""
    if photo.mode == "RGB":
        return photo
    return Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo).convert("RGB")


def _framing(cutout: Image.Image) -> tuple[str, ...]:
    """Notes on an object that fills the frame or is cut by it. Raises `BadJob` where there is none."""
    solid = np.asarray(cutout.getchannel("A")) >= 128
    if np.count_nonzero(solid) < SMALLEST:
        raise BadJob(NO_OBJECT)
    if solid.mean() > FULL:
        return ("The cut-out fills nearly the whole frame: no background was found around the object.",)
    edges = {"top": solid[0], "right": solid[:, -1], "bottom": solid[-1], "left": solid[:, 0]}
    cut = [name for name, edge in edges.items() if edge.mean() > TOUCHING]
    if not cut:
        return ()
    return (
        f"The object reaches the {', '.join(cut)} of the photo and is cut off there, and so is the model.",
    )
