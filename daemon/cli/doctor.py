"""`protoscale doctor`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

from daemon import doctor
from daemon.cli import exits
from daemon.config import Config
from daemon.finding import BROKEN, OK, WARN, Finding
from spool.settings import read

_MARK = {OK: "ok    ", WARN: "note  ", BROKEN: "BROKEN"}


def run(as_json: bool, gpu: bool) -> int:
    """Print every finding, with `gpu` those of a trial on each GPU too; fail where something is broken."""
    findings = doctor.examine(os.environ)
    if gpu and any(finding.verdict == BROKEN for finding in findings):
        findings.append(Finding("gpu", WARN, "not tried, since something above is broken"))
    elif gpu:
        findings += doctor.gpus(read(Config))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{_MARK[finding.verdict]} {finding.name}: {finding.words}")
            if finding.advice:
                print(f"       -> {finding.advice}")
    broken = any(finding.verdict == BROKEN for finding in findings)
    return exits.FAILED if broken else exits.OK
