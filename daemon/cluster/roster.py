"""Which machines the cluster has, which devices they offer us, and which of them a person has taken out.

    <spool>/cluster/roster.json      what the lookout sees; news, replaced whole by it alone
    <spool>/cluster/drained/<node>   an empty mark: no work for that machine until it is taken away
    <spool>/cluster/devices/<worker>.json   what a device last said of itself; news, written by its envoy

Nothing here knows Ray; the lookout translates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Berth, Post
from daemon.errors import DaemonError
from spool import durable
from spool.board import Gpu

CLUSTER = "cluster"
ROSTER = "roster.json"
DRAINED = "drained"
DEVICES = "devices"
ROLES: Mapping[str, tuple[str, ...]] = {
    "all": (*TEXTURE_STAGES, *GEOMETRY_STAGES),
    "texture": TEXTURE_STAGES,
    "geometry": GEOMETRY_STAGES,
}
RESOURCE = "protoscale_"
"""What the custom resources begin with by which a machine says how many devices of a role it has."""


class UnknownNode(DaemonError):
    """The cluster has no machine of that name."""


@dataclass(frozen=True)
class Machine:
    """One machine that is in the cluster now. `roles` counts what it offers by name of the role."""

    name: str
    node_id: str
    address: str
    gpus: int = 0
    roles: Mapping[str, int] = field(default_factory=dict)

    def posts(self) -> list[Post]:
        """The posts to fill here.

        Roles that the machine names are what it gets. One that names none and has GPUs is shared out as a
        machine of our own is: one card does all, of several every other one is for texture.
        """
        if self.roles:
            cards = self.gpus >= sum(self.roles.values())
            kind = "cuda" if cards else "cpu"
            return [
                self._post(role, f"{kind}:{at}" if cards or count > 1 else kind, RESOURCE + role, int(cards))
                for role, count in sorted(self.roles.items())
                for at in range(count)
            ]
        shares = ["all"] if self.gpus == 1 else [("texture", "geometry")[at % 2] for at in range(self.gpus)]
        return [self._post(role, f"cuda:{at}", None, 1) for at, role in enumerate(shares)]

    def _post(self, role: str, device: str, resource: str | None, gpus: int) -> Post:
        name = f"{role}-{re.sub(r'[^A-Za-z0-9.]+', '_', self.name)}-{device.replace(':', '')}"
        return Post(name, device, ROLES[role], Berth(self.name, self.node_id, resource, gpus))


@dataclass(frozen=True)
class Roster:
    """The content of `roster.json`. `trouble` says why nobody can be seen, if so."""

    machines: tuple[Machine, ...] = ()
    trouble: str | None = None

    @classmethod
    def read(cls, root: Path) -> Roster:
        """What the lookout of the spool at `root` saw last; an empty one where there is none."""
        try:
            value = json.loads((root / CLUSTER / ROSTER).read_bytes())
            return cls(tuple(Machine(**machine) for machine in value["machines"]), value["trouble"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return cls()

    def write(self, root: Path) -> None:
        """Replace `roster.json`."""
        (root / CLUSTER).mkdir(exist_ok=True)
        durable.replace_json(root / CLUSTER / ROSTER, asdict(self), durable=False, has_ballast=False)


def machines(nodes: Sequence[Mapping[str, Any]], without_gpus: Sequence[str] = ()) -> tuple[Machine, ...]:
    """The living machines among what `ray.nodes()` tells; of those in `without_gpus` (node ids) no bare GPU is ours.

    A machine is called what `ray start --node-name` called it, else by its address; a second one of the same
    name gets the first characters of its id.
    """
    found: dict[str, Machine] = {}
    for node in sorted((node for node in nodes if node["Alive"]), key=lambda node: str(node["NodeID"])):
        held: Mapping[str, float] = node["Resources"]
        roles = {role: int(held[RESOURCE + role]) for role in ROLES if held.get(RESOURCE + role, 0) >= 1}
        gpus = int(held.get("GPU", 0))
        name = str(node["NodeName"] or node["NodeManagerAddress"])
        if name in found:
            name = f"{name}.{str(node['NodeID'])[:6]}"
        bare = not roles and node["NodeID"] in without_gpus
        found[name] = Machine(name, node["NodeID"], node["NodeManagerAddress"], 0 if bare else gpus, roles)
    return tuple(sorted(found.values(), key=lambda machine: machine.name))


def drained(root: Path) -> set[str]:
    """The names of the machines that get no work."""
    try:
        return {path.name for path in (root / CLUSTER / DRAINED).iterdir()}
    except FileNotFoundError:
        return set()


def drain(root: Path, node: str) -> None:
    """Let a machine finish what it does and give it nothing more, over restarts too.

    Raises UnknownNode where the cluster has no such machine.
    """
    known = [machine.name for machine in Roster.read(root).machines]
    if node not in known:
        raise UnknownNode(
            f"no machine called {node!r} is in the cluster; there: {', '.join(known) or 'none'}"
        )
    folder = root / CLUSTER / DRAINED
    durable.make_folder(folder)
    durable.replace(folder / node, b"")


def undrain(root: Path, node: str) -> None:
    """Give a drained machine work again. Raises UnknownNode where it was not drained."""
    folder = root / CLUSTER / DRAINED
    try:
        (folder / node).unlink()
    except FileNotFoundError:
        marked = ", ".join(sorted(drained(root))) or "none"
        raise UnknownNode(f"{node!r} is not drained; drained: {marked}") from None
    durable.fsync(folder)


@dataclass(frozen=True)
class Vitals:
    """What a device of another machine last said of itself. `trouble` says why it cannot work."""

    device: str
    engine: str | None = None
    pid: int | None = None
    memory_bytes: int | None = None
    gpu: Gpu | None = None
    trouble: str | None = None

    @classmethod
    def read(cls, root: Path, worker: str) -> Vitals | None:
        """What the device behind `worker` said, or None where it never said anything."""
        try:
            value = json.loads((root / CLUSTER / DEVICES / f"{worker}.json").read_bytes())
            return cls(**{**value, "gpu": Gpu(**value["gpu"]) if value["gpu"] else None})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def write(self, root: Path, worker: str) -> None:
        """Replace what was said before."""
        folder = root / CLUSTER / DEVICES
        folder.mkdir(parents=True, exist_ok=True)
        durable.replace_json(folder / f"{worker}.json", asdict(self), durable=False, has_ballast=False)
