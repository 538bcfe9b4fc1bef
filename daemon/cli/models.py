"""`protoscale models`: what weights are there, and fetching them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from daemon import hub, models
from daemon.cli import exits
from daemon.config import Config
from daemon.engines.choose import hunyuan_weights
from daemon.engines.hunyuan.weights import DINO, PAINT, SHAPE
from daemon.errors import EngineUnavailable
from spool.settings import read

HUNYUAN = "hunyuan"


def run(options: argparse.Namespace) -> int:
    """`ls` or `pull`. Raises EngineUnavailable, too, where this user may not use the folder of the models."""
    config = read(Config)
    try:
        return _pull(options, config) if options.action == "pull" else _ls(options.json, config)
    except OSError as error:
        raise EngineUnavailable(
            f"{error.filename or 'the folder of the models'}: {error.strerror}. Change its owner or mode, or set "
            "U2NET_HOME (for hunyuan HUNYUAN_CKPT_DIR) to a folder that this user may use."
        ) from None


def _ls(as_json: bool, config: Config) -> int:
    rows = [_row(s.name, s.path, s.bytes, s.present, s.verified) for s in models.inspect(config.u2net_home)]
    rows += _of_hunyuan(config)
    if as_json:
        print(json.dumps(rows, indent=2))
        return exits.OK
    for row in rows:
        print(f"{row['name']:<18} {row['bytes'] / 1e6:>7.1f} MB  {_verdict(row):<9} {row['path']}")
    if not any(row["name"] == HUNYUAN for row in rows):
        print(f"{HUNYUAN:<18} {'0.0':>7} MB  not here  {config.hunyuan_ckpt_dir}")
    return exits.OK


def _of_hunyuan(config: Config) -> list[dict[str, Any]]:
    """What was pulled, and what the engine finds elsewhere: that has no sums here to verify it by."""
    home = config.hunyuan_ckpt_dir
    rows = [
        _row(HUNYUAN, s.path, s.size if s.present else 0, s.present, s.verified) for s in hub.inspect(home)
    ]
    weights = hunyuan_weights(config)
    is_pulled = bool(rows)
    for part in (SHAPE, PAINT, DINO):
        folder = weights.folder(part)
        if folder and not (is_pulled and home.absolute() in folder.parents):
            rows.append(_row(HUNYUAN, folder, weights.size(part), True, None))
    if not is_pulled and (upscaler := weights.upscaler):
        rows.append(_row(HUNYUAN, upscaler, upscaler.stat().st_size, True, None))
    return rows


def _row(name: str, path: Path, size: int, present: bool, verified: bool | None) -> dict[str, Any]:
    return {"name": name, "present": present, "verified": verified, "bytes": size, "path": str(path)}


def _verdict(row: dict[str, Any]) -> str:
    if not row["present"]:
        return "not here"
    return {None: "here", True: "verified", False: "DAMAGED"}[row["verified"]]


def _pull(options: argparse.Namespace, config: Config) -> int:
    if options.name == HUNYUAN:
        return _pull_hunyuan(options, config)
    name = options.name or config.rembg_model
    if name not in models.WEIGHTS:
        known = ", ".join((*models.WEIGHTS, HUNYUAN))
        raise models.UnknownModel(f"There is no model called {name!r}; known are {known}.")
    print(models.pull(name, config.u2net_home, _tell))
    return exits.OK


def _pull_hunyuan(options: argparse.Namespace, config: Config) -> int:
    folder = config.hunyuan_ckpt_dir
    if Path(config.model_path).expanduser().is_dir():
        weights = hunyuan_weights(config)
        wanted = (SHAPE, PAINT, DINO) if config.enable_texture else (SHAPE, DINO)
        if missing := [words for part in wanted if (words := weights.missing(part))]:
            raise EngineUnavailable(
                f"MODEL_PATH={config.model_path} is a folder, so nothing is pulled; but {'; '.join(missing)}. Put it "
                f"there, or unset MODEL_PATH and pull everything into {folder}."
            )
        print(f"MODEL_PATH={config.model_path} is a folder, and nothing is missing: there is nothing to pull")
        return exits.OK
    hub.accept(folder, lambda: options.accept_license or _asked(), _tell)
    print(hub.pull(folder, _tell, model=config.model_path))
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
