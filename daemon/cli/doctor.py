"""`protoscale doctor`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

from daemon import doctor
from daemon.cli import exits

_MARK = {doctor.OK: "ok    ", doctor.WARN: "note  ", doctor.BROKEN: "BROKEN"}


def run(as_json: bool) -> int:
    """Print every finding; fail where something is broken."""
    findings = doctor.examine(os.environ)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{_MARK[finding.verdict]} {finding.name}: {finding.words}")
            if finding.advice:
                print(f"       -> {finding.advice}")
    broken = any(finding.verdict == doctor.BROKEN for finding in findings)
    return exits.FAILED if broken else exits.OK
