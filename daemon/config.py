"""The daemon's settings (see the table in README.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from daemon.engines.hunyuan.presets import LOWEST, limits
from daemon.engines.hunyuan.weights import MODEL
from daemon.models import DEFAULT, WEIGHTS, u2net_home
from spool.layout import DEFAULT_QUALITY, QUALITIES, STAGE_NAMED
from spool.settings import Environ, SpoolSettings, flag, folder, number, one_of, setting, size, whole

UNSET = "auto"
ENGINES = ("auto", "hunyuan", "silhouette")


def device_list(text: str) -> tuple[str, ...]:
    """`cuda:1`, `cpu`, or several with commas; empty for `auto`; `none` alone. Raises ValueError."""
    if text == UNSET:
        return ()
    if text == "none":
        return ("none",)
    devices = tuple(part.strip() for part in text.split(","))
    for device in devices:
        kind, _, index = device.partition(":")
        if not (device == "cpu" or (kind == "cuda" and index.isdecimal())):
            raise ValueError(text)
    return devices


def flag_or_auto(value: str) -> bool | None:
    """true, false, or None for `auto`. Raises ValueError."""
    return None if value == UNSET else flag(value)


def text(value: str) -> str:
    """Any text."""
    return value


def cluster(value: str) -> str:
    """Empty, `ray`, or `HOST:PORT` of a Ray head. Raises ValueError."""
    host, colon, port = value.rpartition(":")
    if value in ("", "ray") or (colon and host and "/" not in host and port.isdecimal()):
        return value
    raise ValueError(value)


def optional_folder(value: str) -> Path | None:
    """A directory, or None for `auto`."""
    return None if value == UNSET else folder(value)


def default_ckpt_dir(environ: Environ) -> str:
    """`$STATE_DIRECTORY/hunyuan` under systemd, else in the user's data directory (XDG)."""
    state = environ.get("STATE_DIRECTORY")
    if state:
        return f"{state.split(':')[0]}/hunyuan"
    return f"{environ.get('XDG_DATA_HOME') or '~/.local/share'}/protoscale/hunyuan"


@dataclass(frozen=True)
class StepLimits:
    """Seconds without progress after which a worker hangs: one limit, and the stages that have their own."""

    usual: float
    own: tuple[tuple[str, float], ...] = ()

    def of(self, stage: str | None) -> float:
        """The limit for a stage, or for whatever else a worker does."""
        return dict(self.own).get(stage or "", self.usual)


def step_limits(text: str) -> StepLimits:
    """`300`, or `300,geometry=900`. Raises ValueError."""
    seconds = number(1)
    usual, *rest = text.split(",")
    own = []
    for part in rest:
        stage, equals, value = part.strip().partition("=")
        if not equals or stage not in STAGE_NAMED:
            raise ValueError(text)
        own.append((stage, seconds(value)))
    return StepLimits(seconds(usual), tuple(own))


@dataclass(frozen=True)
class Config(SpoolSettings):
    """Everything the supervisor and its workers can be told."""

    engine: str = setting(
        "ENGINE", "auto", " or ".join(ENGINES), one_of(*ENGINES), "Which engine makes the models."
    )
    hunyuan_path: Path | None = setting(
        "HUNYUAN_PATH",
        UNSET,
        "a checkout of Hunyuan3D-2.1",
        optional_folder,
        "The code of Hunyuan3D-2.1; `auto` looks in `~/Hunyuan3D-2.1` and `/opt/Hunyuan3D-2.1`.",
    )
    hunyuan_ckpt_dir: Path = setting(
        "HUNYUAN_CKPT_DIR",
        default_ckpt_dir,
        "a directory",
        folder,
        "Where `protoscale models pull hunyuan` puts the weights, and where they are looked for. "
        "Under systemd `$STATE_DIRECTORY/hunyuan`, else `~/.local/share/protoscale/hunyuan`.",
    )
    model_path: str = setting(
        "MODEL_PATH",
        MODEL,
        "a folder of weights, or a name on the hub",
        text,
        "A folder that holds the weights already (`hunyuan3d-dit-v2-1/`, ...), or the hub's name of those to pull.",
    )
    enable_texture: bool = setting(
        "ENABLE_TEXTURE",
        "true",
        "true or false",
        flag,
        "Whether `hunyuan` paints its models at all; without, no texture model is ever loaded.",
    )
    flashvdm: bool = setting(
        "PROTOSCALE_FLASHVDM",
        "false",
        "true or false",
        flag,
        "Decode with FlashVDM: several times faster, the surface differs in fine detail from the plain decoder's.",
    )
    offload: bool | None = setting(
        "PROTOSCALE_OFFLOAD",
        UNSET,
        "auto, true or false",
        flag_or_auto,
        "Keep each texture model on the GPU only while it works (for 16 GB cards, slower); `auto` does so where "
        "the measured free memory is too little for all.",
    )
    hunyuan_limits: tuple[tuple[str, int], ...] = setting(
        "PROTOSCALE_HUNYUAN_LIMITS",
        lambda _: "",
        f"name=number with commas; names: {', '.join(LOWEST)}; resolution in multiples of 64",
        limits,
        "Upper limits on the presets of `hunyuan`, for small cards: `octree=256,resolution=512,texture=2048`.",
    )
    geometry_devices: tuple[str, ...] = setting(
        "GEOMETRY_DEVICE",
        UNSET,
        "cpu, cuda:N, or several with commas; none",
        device_list,
        "Device for geometry; each named device gets a worker process.",
    )
    texture_devices: tuple[str, ...] = setting(
        "TEXTURE_DEVICE",
        UNSET,
        "cpu, cuda:N, or several with commas; none",
        device_list,
        "Device for texture and background removal. The same device for both makes one worker that does all.",
    )
    cluster: str = setting(
        "CLUSTER",
        "",
        "ray, or HOST:PORT of a Ray head",
        cluster,
        "Also use the devices of a Ray cluster: the one that runs on this machine (`ray`, or `RAY_ADDRESS`), or the "
        "one at an address. Empty: this machine alone.",
    )
    cluster_public: bool = setting(
        "PROTOSCALE_CLUSTER_PUBLIC",
        "false",
        "true or false",
        flag,
        "Whether machines of the cluster may have public addresses although neither TLS nor a token guards it.",
    )
    rembg_model: str = setting(
        "REMBG_MODEL", DEFAULT, " or ".join(WEIGHTS), one_of(*WEIGHTS), "Background-removal model."
    )
    idle_timeout: float = setting(
        "MODEL_IDLE_TIMEOUT",
        "480",
        "seconds, more than 0",
        number(0.1),
        "Models are unloaded after this many seconds without work.",
    )
    attempts: int = setting(
        "PROTOSCALE_ATTEMPTS", "3", "1 to 100", whole(1, 100), "How often one stage of a job is tried."
    )
    step_limit: StepLimits = setting(
        "PROTOSCALE_STEP_LIMIT",
        "300",
        "seconds, at least 1, also per stage, such as 300,geometry=900",
        step_limits,
        "A worker that shows no progress for this long is killed and its job goes back; "
        "`stage=seconds` gives one stage its own limit.",
    )
    drain_limit: float = setting(
        "PROTOSCALE_DRAIN_LIMIT",
        "30",
        "seconds, at least 0",
        number(0),
        "How long a stopping service waits for running stages before it puts their jobs back.",
    )
    scan_every: float = setting(
        "PROTOSCALE_SCAN_EVERY",
        "5",
        "seconds, 0.1 to 3600",
        number(0.1, 3600),
        "The folders are looked through this often even when no file event says so.",
    )
    settle: float = setting(
        "PROTOSCALE_SETTLE",
        "3",
        "seconds, at least 0.1",
        number(0.1),
        "A dropped file that nothing shows to be complete is taken when it stood still this long.",
    )
    quality: str = setting(
        "PROTOSCALE_QUALITY",
        DEFAULT_QUALITY,
        ", ".join(QUALITIES),
        one_of(*QUALITIES),
        "Quality of the models made of dropped files.",
    )
    http: bool = setting(
        "PROTOSCALE_HTTP",
        "true",
        "true or false",
        flag,
        "Whether `protoscale run` starts the HTTP server too.",
    )
    keep_done: float = setting(
        "PROTOSCALE_KEEP_DONE",
        "0",
        "days; 0 keeps them for ever",
        number(0),
        "Age at which done jobs are deleted.",
    )
    keep_size: int = setting(
        "PROTOSCALE_KEEP_SIZE",
        "0",
        "bytes, with K, M, G or T; 0 for no limit",
        size,
        "What done and failed jobs may take together; above it the oldest are deleted.",
    )
    keep_failed: float = setting(
        "PROTOSCALE_KEEP_FAILED", "30", "days; 0 keeps them for ever", number(0), "The same for failed jobs."
    )
    keep_held: float = setting(
        "PROTOSCALE_KEEP_HELD",
        "7",
        "days; 0 keeps them for ever",
        number(0),
        "The same for uploads never started.",
    )
    u2net_home: Path = setting(
        "U2NET_HOME",
        lambda environ: str(u2net_home(environ)),
        "a directory",
        folder,
        "Where the background-removal models lie (default `~/.u2net`).",
    )
    max_worker_jobs: int = setting(
        "PROTOSCALE_MAX_WORKER_JOBS",
        "0",
        "a number of stages; 0 for no limit",
        whole(0),
        "A worker that ran this many stages is replaced by a fresh one.",
    )
    max_worker_memory: int = setting(
        "PROTOSCALE_MAX_WORKER_MEMORY",
        "0",
        "bytes, with K, M, G or T; 0 for no limit",
        size,
        "A worker whose resident memory is above this after a job is replaced by a fresh one.",
    )
