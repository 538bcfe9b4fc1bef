"""Settings: environment variables, read once per process into a frozen value.

A configuration is a frozen dataclass whose fields are made by `setting`; `read` fills it. Each package
extends `SpoolSettings` with its own, so every variable is declared, defaulted and explained in one place.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from spool.errors import SpoolError


class WrongSetting(SpoolError):
    """An environment variable holds what its setting does not accept: the process must not start."""


Environ = Mapping[str, str]


def setting(
    variable: str,
    default: str | Callable[[Environ], str],
    accepts: str,
    parse: Callable[[str], Any],
    what: str,
) -> Any:
    """A field read from the environment variable `variable`.

    `default` is text, parsed like any other; or a function of the environment that gives it.
    """
    return field(
        metadata={"env": variable, "default": default, "accepts": accepts, "parse": parse, "what": what}
    )


def flag(text: str) -> bool:
    """true/false in the spellings people use. Raises ValueError."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size(text: str) -> int:
    """Bytes, with K, M, G or T for powers of 1024. Raises ValueError."""
    match = re.fullmatch(r"(\d+)([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(text)
    return int(match[1]) * _UNITS[match[2].upper()]


def in_units(count: int) -> str:
    """Bytes as people say them: `32 MiB`, `1.5 GiB`, `100 bytes`."""
    for unit in "TGMK":
        if count >= _UNITS[unit]:
            return f"{round(count / _UNITS[unit], 1):g} {unit}iB"
    return f"{count} bytes"


def number(lowest: float, highest: float = float("inf")) -> Callable[[str], float]:
    """A parser for a number of seconds, days, ... between two bounds."""

    def parse(text: str) -> float:
        value = float(text)
        if not (lowest <= value <= highest and math.isfinite(value)):
            raise ValueError(text)
        return value

    return parse


def whole(lowest: int, highest: int = 1 << 62) -> Callable[[str], int]:
    """A parser for a whole number between two bounds."""

    def parse(text: str) -> int:
        value = int(text)
        if not lowest <= value <= highest:
            raise ValueError(text)
        return value

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """A parser for one of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return parse


def folder(text: str) -> Path:
    """A directory; a leading ~ is the user's home. Raises ValueError for the empty string."""
    if not text:
        raise ValueError(text)
    return Path(text).expanduser()


def default_spool(environ: Environ) -> str:
    """`$STATE_DIRECTORY/spool` under systemd, else in the user's state directory (XDG)."""
    state = environ.get("STATE_DIRECTORY")
    if state:
        return f"{state.split(':')[0]}/spool"
    # The XDG rule, written out: platformdirs would be the spool's only import beyond the standard library.
    return f"{environ.get('XDG_STATE_HOME') or '~/.local/state'}/protoscale/spool"


@dataclass(frozen=True)
class SpoolSettings:
    """What every process of the service needs to know."""

    spool: Path = setting(
        "PROTOSCALE_SPOOL",
        default_spool,
        "a directory",
        folder,
        "The spool: queue, record and results. Under systemd `$STATE_DIRECTORY/spool`, "
        "else `~/.local/state/protoscale/spool`.",
    )
    reserve: int = setting(
        "PROTOSCALE_RESERVE",
        "512M",
        "bytes, with K, M, G or T",
        size,
        "Free disk space below which uploads are refused (507) and no new job is started.",
    )
    log_level: str = setting(
        "PROTOSCALE_LOG_LEVEL",
        "info",
        "debug, info, warning or error",
        one_of("debug", "info", "warning", "error"),
        "How much is logged.",
    )
    max_pixels: int = setting(
        "PROTOSCALE_MAX_PIXELS",
        "40000000",
        "pixels, at least 1024",
        whole(1024),
        "Larger photos are refused before they are decoded.",
    )
    max_side: int = setting(
        "PROTOSCALE_MAX_SIDE", "8192", "pixels, at least 32", whole(32), "Longest side of a photo."
    )
    log_format: str = setting(
        "PROTOSCALE_LOG_FORMAT",
        "text",
        "text or json",
        one_of("text", "json"),
        "Log lines for people, or one JSON object a line (also `--log-format`).",
    )


S = TypeVar("S", bound=SpoolSettings)


def read(kind: type[S], environ: Environ | None = None) -> S:
    """Fill `kind` from the environment; an empty variable counts as not set.

    Raises WrongSetting naming the variable, its value and what is accepted.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for item in fields(kind):
        rule = item.metadata
        default = rule["default"]
        text = environ.get(rule["env"]) or (default(environ) if callable(default) else default)
        try:
            values[item.name] = rule["parse"](text)
        except ValueError:
            raise WrongSetting(f"{rule['env']}={text!r} is not accepted: give {rule['accepts']}") from None
    return kind(**values)
