"""Which devices there are, and which worker does what on which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from daemon.config import Config
from daemon.errors import EngineUnavailable

GEOMETRY_STAGES = ("geometry",)
TEXTURE_STAGES = ("cutout", "texture")
NONE = ("none",)
"""Both device variables so: no worker on this machine, which only feeds a cluster."""


@dataclass(frozen=True)
class Berth:
    """Where in the cluster a device of another machine lies. `node_id` is Ray's name for the machine's present life.

    `resource` is the custom resource that whoever works there takes, if the machine has any; `gpus` how many GPUs.
    """

    node: str
    node_id: str
    resource: str | None
    gpus: int


@dataclass(frozen=True)
class Post:
    """What one worker process is told: its name, its device, and the stages it takes.

    With a `berth` the device is another machine's, and the process is its envoy here (`daemon.cluster.envoy`).
    """

    name: str
    device: str
    stages: tuple[str, ...]
    berth: Berth | None = None

    @property
    def role(self) -> str:
        """The name people know this worker's work by."""
        return self.name.partition("-")[0]

    @property
    def node(self) -> str:
        """The machine in the cluster; empty for this one."""
        return self.berth.node if self.berth else ""


def present() -> list[str]:
    """The devices of this machine, found without loading CUDA."""
    cards = Path("/proc/driver/nvidia/gpus")
    count = len(list(cards.iterdir())) if cards.is_dir() else 0
    return [*(f"cuda:{index}" for index in range(count)), "cpu"]


def posts(config: Config, engine_devices: tuple[str, ...]) -> list[Post]:
    """One post per worker process. `engine_devices` are the kinds of device the engine can use.

    Where both variables are unset and there is nothing but the CPU, two CPU workers share the work, so that
    the pipeline overlaps there too. Raises EngineUnavailable for a device that is not there.
    """
    usable = [device for device in present() if device.partition(":")[0] in engine_devices]
    wanted_none = {config.texture_devices, config.geometry_devices} == {NONE}
    if wanted_none and config.cluster:
        return []
    for variable, devices in (
        ("GEOMETRY_DEVICE", config.geometry_devices),
        ("TEXTURE_DEVICE", config.texture_devices),
    ):
        for device in devices:
            if devices == NONE:
                raise EngineUnavailable(
                    f"{variable}=none leaves nobody to work here: set both device variables to none, and CLUSTER"
                )
            if device not in usable:
                raise EngineUnavailable(
                    f"{variable} names {device}; what this engine can use here: {', '.join(usable)}"
                )
    cards = [device for device in usable if device != "cpu"] or ["cpu"]
    texture = config.texture_devices or (cards[0],)
    geometry = config.geometry_devices or (cards[1] if len(cards) > 1 else cards[0],)
    both = {device for device in texture if device in geometry and device != "cpu"}
    if config.texture_devices == config.geometry_devices == ("cpu",):
        both = {"cpu"}
    made = []
    for role, stages, theirs in (
        ("all", (*TEXTURE_STAGES, *GEOMETRY_STAGES), [device for device in texture if device in both]),
        ("texture", TEXTURE_STAGES, [device for device in texture if device not in both]),
        ("geometry", GEOMETRY_STAGES, [device for device in geometry if device not in both]),
    ):
        # No two of one name: each owns the folder that is called like it.
        made += [_post(role, device, stages, theirs[:at].count(device)) for at, device in enumerate(theirs)]
    return made


def _post(role: str, device: str, stages: tuple[str, ...], earlier: int) -> Post:
    slug = device.replace(":", "")
    return Post(f"{role}-{slug}" + (f"-{earlier + 1}" if earlier else ""), device, stages)
