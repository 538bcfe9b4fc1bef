"""`protoscale keys create|ls|revoke`: who may use the HTTP API."""

from __future__ import annotations

import argparse
import json
import sys

from daemon.cli import exits
from spool import command, keys
from spool.settings import SpoolSettings, read
from spool.spool import Spool


def run(options: argparse.Namespace) -> int:
    """Dispatch one of the three."""
    root = Spool.open(read(SpoolSettings).spool).root
    if options.action == "create":
        token = keys.create(root, options.name, options.role)
        print(token)
        # On stderr, so that `KEY=$(protoscale keys create web)` gets the key alone.
        print(
            f"key {options.name!r} may {keys.MEANING[options.role]}. It is shown only now; "
            "send it as `X-API-Key: ...` or `Authorization: Bearer ...`.",
            file=sys.stderr,
        )
    elif options.action == "revoke":
        keys.revoke(root, options.name)
        print(f"key {options.name!r} revoked")
    else:
        _ls(keys.listing(root), options.json)
    return exits.OK


def _ls(found: list[keys.Key], as_json: bool) -> None:
    if as_json:
        rows = [{"name": key.name, "role": key.role, "created": key.created} for key in found]
        print(json.dumps(rows, indent=2))
    elif not found:
        print(f"no keys; {command.typed('keys create NAME --role submit')} makes one")
    for key in found if not as_json else ():
        print(f"{key.name:<40} {key.role:<7} {key.created}")
