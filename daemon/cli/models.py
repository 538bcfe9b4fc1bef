"""`protoscale models`: what weights are there, and fetching them."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from daemon import hub, models
from daemon.cli import exits
from daemon.config import Config
from spool.settings import read

HUNYUAN = "hunyuan"


def run(options: argparse.Namespace) -> int:
    """`ls` or `pull`."""
    config = read(Config)
    if options.action == "pull":
        return _pull(options, config)
    states = models.inspect(config.u2net_home)
    rows: list[dict[str, Any]] = [
        {"name": s.name, "present": s.present, "verified": s.verified, "bytes": s.bytes, "path": str(s.path)}
        for s in states
    ]
    rows += [
        {
            "name": HUNYUAN,
            "present": s.present,
            "verified": s.verified,
            "bytes": s.size if s.present else 0,
            "path": str(s.path),
        }
        for s in hub.inspect(config.hunyuan_ckpt_dir)
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return exits.OK
    for row in rows:
        verdict = "verified" if row["verified"] else "DAMAGED" if row["present"] else "not here"
        print(f"{row['name']:<18} {row['bytes'] / 1e6:>7.1f} MB  {verdict:<9} {row['path']}")
    if not any(row["name"] == HUNYUAN for row in rows):
        print(f"{HUNYUAN:<18} {'0.0':>7} MB  not here  {config.hunyuan_ckpt_dir}")
    return exits.OK


def _pull(options: argparse.Namespace, config: Config) -> int:
    if options.name == HUNYUAN:
        folder = config.hunyuan_ckpt_dir
        hub.accept(folder, lambda: options.accept_license or _asked(), _tell)
        print(hub.pull(folder, _tell, model=config.model_path))
        return exits.OK
    print(models.pull(options.name or config.rembg_model, config.u2net_home, _tell))
    return exits.OK


def _asked() -> bool:
    if not sys.stdin.isatty():
        return False
    print(
        "Do you accept these terms, and are you outside the excluded territory? [yes/no] ",
        end="",
        file=sys.stderr,
    )
    return input().strip().lower() == "yes"


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
