"""`protoscale models`: what weights are there, and fetching them."""

from __future__ import annotations

import argparse
import json
import sys

from daemon import models
from daemon.cli import exits
from daemon.config import Config
from spool.settings import read


def run(options: argparse.Namespace) -> int:
    """`ls` or `pull`."""
    config = read(Config)
    if options.action == "pull":
        wanted = options.name or config.rembg_model
        path = models.pull(wanted, config.u2net_home, lambda line: print(line, file=sys.stderr))
        print(path)
        return exits.OK
    states = models.inspect(config.u2net_home)
    if options.json:
        rows = [
            {
                "name": s.name,
                "present": s.present,
                "verified": s.verified,
                "bytes": s.bytes,
                "path": str(s.path),
            }
            for s in states
        ]
        print(json.dumps(rows, indent=2))
        return exits.OK
    for state in states:
        verdict = "verified" if state.verified else "DAMAGED" if state.present else "not here"
        print(f"{state.name:<18} {state.bytes / 1e6:>7.1f} MB  {verdict:<9} {state.path}")
    return exits.OK
