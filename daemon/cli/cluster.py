"""`protoscale cluster`: the machines of the cluster, and taking one out for a while."""

from __future__ import annotations

import argparse
import json
import sys

from daemon.cli import exits
from daemon.cluster import roster
from daemon.cluster.roster import Roster
from spool import command
from spool.board import Board, slots_of
from spool.settings import SpoolSettings, read


def run(options: argparse.Namespace) -> int:
    """Raises UnknownNode where no machine is called so."""
    root = read(SpoolSettings).spool
    if options.action == "ls":
        return _ls(options.json)
    if options.action == "drain":
        roster.drain(root, options.node)
        print(f"{options.node} finishes what it does and gets nothing more")
    else:
        roster.undrain(root, options.node)
        print(f"{options.node} gets work again")
    return exits.OK


def _ls(as_json: bool) -> int:
    root = read(SpoolSettings).spool
    seen, out, board = Roster.read(root), roster.drained(root), Board.read(root)
    if board is None:
        print(f"no supervisor runs on this spool; start {command.started()}", file=sys.stderr)
        return exits.NO_SERVICE
    there = [
        {
            "node": machine.name,
            "address": machine.address,
            "drained": machine.name in out,
            "devices": [
                {"name": slot.name, "device": slot.device, "state": slot.state}
                for slot in slots_of(board)
                if slot.node == machine.name
            ],
        }
        for machine in seen.machines
    ]
    absent = sorted(out - {machine.name for machine in seen.machines})
    if as_json:
        print(
            json.dumps({"machines": there, "drained_and_absent": absent, "trouble": seen.trouble}, indent=2)
        )
        return exits.OK
    for machine in there:
        devices = machine["devices"]
        assert isinstance(devices, list)
        said = ", ".join(f"{slot['name']} {slot['state']}" for slot in devices) or "no device for us"
        print(f"{machine['node']} ({machine['address']}): {'drained; ' if machine['drained'] else ''}{said}")
    for node in absent:
        print(f"{node}: drained, and not in the cluster")
    if seen.trouble:
        print(seen.trouble, file=sys.stderr)
    elif not there:
        print("no cluster: CLUSTER is not set, or nobody joined yet (docs/cluster.md)", file=sys.stderr)
    return exits.OK
