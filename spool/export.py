"""What can be made of a finished model, and the name each wish has as a file in the job directory.

The file name is the whole wish (`model--height_mm-100--up-y.stl`): the HTTP server, the command line and the
process that makes the file need tell each other nothing else, and whoever lists a job sees what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from spool.errors import InvalidRequest

SMALLEST_MM, LARGEST_MM = 1.0, 5000.0
MATERIALS = {"pla": 1.24, "petg": 1.27, "abs": 1.04, "asa": 1.07, "nylon": 1.14, "tpu": 1.21, "resin": 1.12}
"""Grams per cubic centimetre."""

Rule = Callable[[str], str]
"""From the text of an option to its one canonical text. Raises ValueError."""


def _between(low: float, high: float) -> Rule:
    def canonical(text: str) -> str:
        if not text.isascii() or "_" in text:  # Python reads these as numbers; nobody else does
            raise ValueError(text)
        value = float(text)
        exact = f"{value:.3f}".rstrip("0").rstrip(".")
        if not low <= value <= high or float(exact) != value:
            raise ValueError(text)
        return exact

    return canonical


def _one_of(*words: str) -> Rule:
    def canonical(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return canonical


_SIZE = (_between(SMALLEST_MM, LARGEST_MM), f"millimetres from {SMALLEST_MM:g} to {LARGEST_MM:g}, 3 decimals")
OPTIONS: Mapping[str, tuple[Rule, str]] = MappingProxyType(
    {
        "longest_mm": _SIZE,
        "height_mm": _SIZE,
        "up": (_one_of("y", "z"), "y or z"),
        "origin": (_one_of("model", "centre", "ground"), "model, centre or ground"),
        "repaired": (_one_of("true", "false"), "true or false"),
        "material": (_one_of(*MATERIALS), ", ".join(MATERIALS)),
        "min_wall_mm": (_between(0.1, 20.0), "millimetres from 0.1 to 20, 3 decimals"),
    }
)
"""Every option: what makes its text canonical, and what it accepts, in words."""
_PLACED = {"longest_mm": "", "height_mm": "", "up": "y", "origin": "model", "repaired": "false"}
_PRINTED = {"longest_mm": "100", "height_mm": "", "up": "z", "origin": "ground", "repaired": "false"}
_REPORTED = {
    "longest_mm": "100",
    "height_mm": "",
    "material": "pla",
    "min_wall_mm": "0.8",
    "repaired": "false",
}
OBJ_PARTS = (
    "model.mtl",
    "model_basecolor.jpg",
    "model_metallic.jpg",
    "model_roughness.jpg",
    "model_normal.jpg",
)
REPORT = "report.json"

DEFAULTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "model.stl": _PRINTED,
        "model.3mf": _PRINTED,
        "model.obj": _PLACED,
        "model.obj.zip": _PLACED,
        **{part: {} for part in OBJ_PARTS},
        "model.ply": _PLACED,
        "model.usdz": _PLACED,
        "model.web.glb": {"longest_mm": "", "height_mm": "", "origin": "model"},
        "model.repaired.glb": {},
        "turntable.webp": {},
        "contact_sheet.png": {},
        REPORT: _REPORTED,
    }
)
"""Every product made on request, with its options and what they are when nothing is said ("" for none)."""

TYPES = {
    ".stl": "model/stl",
    ".obj": "model/obj",
    ".mtl": "model/mtl",
    ".zip": "application/zip",
    ".3mf": "model/3mf",
    ".ply": "application/octet-stream",
    ".usdz": "model/vnd.usdz+zip",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
}


@dataclass(frozen=True)
class Export:
    """One product made on request: which, and every option that differs from the product's default."""

    product: str
    changed: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, product: str, wishes: Iterable[tuple[str, str]]) -> Export:
        """The export that these (option, text) pairs ask for.

        Raises InvalidRequest for an unknown product, an option it does not have, a value that is not accepted,
        an option said twice, and two sizes at once.
        """
        if product not in DEFAULTS:
            raise InvalidRequest(f"there is no export {product!r}; there are: {', '.join(DEFAULTS)}")
        defaults = DEFAULTS[product]
        chosen: dict[str, str] = {}
        for option, text in wishes:
            if option not in defaults:
                accepted = ", ".join(defaults) or "none"
                raise InvalidRequest(f"unknown parameter {option!r} of {product}; accepted: {accepted}")
            if option in chosen:
                raise InvalidRequest(f"{option} is given twice")
            canonical, accepts = OPTIONS[option]
            try:
                chosen[option] = canonical(text)
            except ValueError:
                raise InvalidRequest(f"{option}={text!r} is not accepted: give {accepts}") from None
        if {"longest_mm", "height_mm"} <= set(chosen):
            raise InvalidRequest("longest_mm and height_mm both set the size: give one of them")
        return cls(product, tuple((key, chosen[key]) for key in defaults if _differs(key, chosen, defaults)))

    @classmethod
    def named(cls, file_name: str) -> Export:
        """The export whose file has this name. Raises InvalidRequest for any other name."""
        stem, *parts = file_name.split("--")
        if parts:
            last, dot, suffix = parts[-1].rpartition(".")
            parts[-1], stem = last, stem + dot + suffix
        export = cls.of(stem, [(part.partition("-")[0], part.partition("-")[2]) for part in parts])
        if export.file_name != file_name:
            raise InvalidRequest(
                f"{file_name!r} is not the name of an export; it would be {export.file_name!r}"
            )
        return export

    @property
    def file_name(self) -> str:
        """Its name in the job directory, one for each set of options."""
        if not self.changed:
            return self.product
        stem, dot, suffix = self.product.rpartition(".")
        return "--".join([stem, *(f"{option}-{text}" for option, text in self.changed)]) + dot + suffix

    @property
    def options(self) -> dict[str, str]:
        """All options in effect; of the two sizes, the one that was asked for."""
        effective = {**DEFAULTS[self.product], **dict(self.changed)}
        if "height_mm" in dict(self.changed):
            effective["longest_mm"] = ""
        return effective


def _differs(option: str, chosen: Mapping[str, str], defaults: Mapping[str, str]) -> bool:
    return option in chosen and chosen[option] != defaults[option]
