"""What a check of `protoscale doctor` found."""

from __future__ import annotations

from dataclasses import dataclass

OK = "ok"
WARN = "warn"
BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One check's outcome: `words` say what is, `advice` what to do (empty where nothing is)."""

    name: str
    verdict: str
    words: str
    advice: str = ""
