"""The one protocol that every engine speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Union

if TYPE_CHECKING:
    from PIL.Image import Image
    from trimesh import Trimesh

JSON = Union[None, bool, int, float, str, list["JSON"], dict[str, "JSON"]]  # noqa: UP007 (names itself, in text)

Progress = Callable[[float, str], None]
"""Called with the share of the step that is done (0.0 to 1.0, never falling) and a few words for a person.

It is called from real steps of the work and raises `daemon.errors.Cancelled` to stop it.
"""


@dataclass(frozen=True)
class Order:
    """What a job asks of an engine, already validated: `quality` is one of `spool.QUALITIES`.

    `allow_lower`: rather lower settings, told in `Unfinished.notes`, than no model where memory runs out.
    """

    quality: str
    seed: int
    allow_lower: bool = False


@dataclass(frozen=True)
class Cutout:
    """The object on a transparent background.

    `image` is RGBA uint8, upright, as large as the photo (or smaller where the engine says so in `notes`).
    `notes` are sentences for the person who sent the photo, such as "the cut-out fills the whole frame".
    `facts` go into the result record: the model used, its version, whether the alpha was the photo's own.
    """

    image: Image
    notes: tuple[str, ...] = ()
    facts: Mapping[str, JSON] = field(default_factory=dict)


MODEL_SHARE = 0.85
"""Where an engine that returns `Unfinished` leaves its step's progress; the rest is the finishing's."""


@dataclass(frozen=True)
class Unfinished:
    """What a device made of a step whose rest needs no device.

    `finish(*parts, progress)` gives the mesh and raises what the step may raise. It is a plain function of a
    module and the parts can be pickled, so another process can run it while the device takes the next job.
    `notes` are sentences for the person who sent the photo.
    """

    finish: Callable[..., Trimesh]
    parts: tuple[Any, ...]
    notes: tuple[str, ...] = ()

    def __call__(self, progress: Progress) -> Trimesh:
        return self.finish(*self.parts, progress)


class Engine(Protocol):
    """Photo to mesh on one device. One instance lives in one worker process and is used by one thread."""

    name: str

    def check(self) -> None:
        """Find out cheaply, before any job is taken, that this engine can load here.

        Raises `EngineUnavailable` with what to do.
        """

    def settings(self, order: Order) -> dict[str, JSON]:
        """The effective settings this engine uses for `order`, for the result record."""

    def versions(self) -> dict[str, str]:
        """Name to version of everything whose change could change the result."""

    def cutout(self, photo: Image, remove_bg: bool, progress: Progress) -> Cutout:
        """Cut the object out of `photo` (any mode, already upright). Raises `BadJob` where there is none."""

    def geometry(self, cutout: Image, order: Order, progress: Progress) -> Trimesh | Unfinished:
        """The bare mesh of an RGBA cut-out: metres, y-up, the photo's side facing +z.

        Raises `BadJob` where no surface comes out, `EngineError` where another attempt may help.
        """

    def texture(self, mesh: Trimesh, cutout: Image, order: Order, progress: Progress) -> Trimesh | Unfinished:
        """The same surface with UV coordinates and a PBR material. `mesh` is as read back from the GLB."""

    def unload(self) -> bool:
        """Give the memory of every loaded model back; true when there was something to unload."""
