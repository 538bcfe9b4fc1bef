"""What works here, what does not, and what to do: one small check per thing that people get wrong."""

from __future__ import annotations

import difflib
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields

from daemon import devices, installation, models, place, server
from daemon.cluster import fleet
from daemon.config import Config
from daemon.engines import choose
from daemon.engines.hunyuan import checkout
from daemon.errors import DaemonError
from daemon.finding import BROKEN, OK, WARN, Finding
from spool import command
from spool.errors import SpoolError
from spool.settings import read


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Run every check. A check that needs settings is skipped where those are wrong themselves."""
    found = [python(), *variables(environ)]
    try:
        config = read(Config, environ)
    except SpoolError as error:
        return [*found, Finding("settings", BROKEN, str(error), "correct or unset the variable")]
    checks = (engine, workers, hunyuan, background_model)
    found += [_looked(check, config) for check in checks]
    spool = place.examine(config)
    if spool[0].verdict != BROKEN:
        spool += [installation.supervisor(config), *installation.webhooks(config, environ)]
    hidden = installation.hidden(config)
    return [*found, *spool, *hidden, server.examine(environ, wanted=config.http), *cluster(config)]


def _looked(check: Callable[[Config], Finding], config: Config) -> Finding:
    """The outcome of a check, also where this user may not look at what is to be checked."""
    try:
        return check(config)
    except PermissionError as error:
        return Finding(
            check.__name__.replace("_", " "),
            BROKEN,
            f"{error.filename} may not be looked at by this user",
            "change its mode, or try as the user that runs the service",
        )


def python() -> Finding:
    """The interpreter, and whether the packages it finds are ours."""
    from daemon.cli.package import NotOurs, check_ours

    words = f"Python {sys.version.split()[0]} at {sys.executable}"
    try:
        check_ours()
    except NotOurs as error:
        return Finding("python", BROKEN, f"{words}; {error}", "make a virtual environment for ProtoScale")
    return Finding("python", OK, words)


def variables(environ: Mapping[str, str]) -> list[Finding]:
    """PROTOSCALE_ variables that nobody reads: typing errors, mostly."""
    known = [str(item.metadata["env"]) for item in fields(Config)] + list(server.VARIABLES)
    strange = [name for name in environ if name.startswith("PROTOSCALE_") and name not in known]
    found = []
    for name in strange:
        near = difflib.get_close_matches(name, known, 1)
        advice = f"did you mean {near[0]}?" if near else "unset it"
        found.append(Finding("settings", WARN, f"{name} is set, and nothing reads it", advice))
    return found


def engine(config: Config) -> Finding:
    """Which engine runs here, and why."""
    name = choose.chosen(config)
    why = "as ENGINE says" if config.engine == name else "the one this machine can run"
    return Finding("engine", OK, f"{name} ({why})")


def workers(config: Config) -> Finding:
    """The devices, and which worker works where."""
    there = ", ".join(devices.present())
    try:
        posts = devices.posts(config, choose.DEVICES[choose.chosen(config)])
    except DaemonError as error:
        return Finding(
            "devices", BROKEN, str(error), "correct GEOMETRY_DEVICE and TEXTURE_DEVICE, or unset them"
        )
    names = ", ".join(post.name for post in posts) or "none on this machine"
    return Finding("devices", OK, f"here: {there}; workers: {names}")


def cluster(config: Config) -> list[Finding]:
    """Whether a cluster that is asked for can be joined, as far as that shows without joining it."""
    if not config.cluster:
        return []
    try:
        fleet.require()
    except DaemonError as error:
        return [Finding("cluster", BROKEN, str(error), "or unset CLUSTER")]
    host, _, port = config.cluster.rpartition(":")
    if host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), 5).close()
        except OSError as error:
            advice = "start Ray there with `ray start --head` (docs/cluster.md), or correct CLUSTER"
            return [Finding("cluster", BROKEN, f"nothing answers at {config.cluster}: {error}", advice)]
    return [Finding("cluster", OK, f"CLUSTER={config.cluster}, and Ray is installed")]


def hunyuan(config: Config) -> Finding:
    """The GPU engine: its code, its packages, its weights. Reads no weights, but compares them with the code."""
    found = checkout.find(config.hunyuan_path)
    chosen = choose.chosen(config) == choose.HUNYUAN
    if found is None:
        wanted = chosen or devices.present() != ["cpu"]
        return Finding(
            "hunyuan",
            BROKEN if chosen else WARN if wanted else OK,
            f"no checkout of Hunyuan3D-2.1 at {' or '.join(checkout.PLACES)}",
            f"run `{checkout.CLONE}` and set HUNYUAN_PATH" if wanted else "",
        )
    try:
        found.require(texture=config.enable_texture)
        if chosen:
            stages = ("geometry", "texture") if config.enable_texture else ("geometry",)
            choose.hunyuan(config, devices.Post("doctor", "cpu", stages)).check()
    except DaemonError as error:
        return Finding("hunyuan", BROKEN if chosen else WARN, str(error), "see the message")
    words = f"Hunyuan3D-2.1 at {found.root}"
    if not chosen:
        return Finding("hunyuan", OK, f"{words}, not in use: no GPU, or ENGINE says otherwise")
    if config.enable_texture and choose.hunyuan_weights(config).upscaler is None:
        return Finding(
            "hunyuan",
            WARN,
            f"{words}; RealESRGAN_x4plus.pth is not here, so textures are a little softer",
            f"run {command.typed('models pull hunyuan')}",
        )
    return Finding("hunyuan", OK, f"{words}, code and weights fit each other")


def gpus(config: Config) -> list[Finding]:
    """Try each GPU for real: a draft job, its memory, a texture, a kill in the middle."""
    from daemon.gpu_trial import trials

    cards = [device for device in devices.present() if device != "cpu"]
    if not cards:
        return [Finding("gpu", WARN, "there is no NVIDIA GPU here, so none was tried", "")]
    if choose.chosen(config) != choose.HUNYUAN:
        return [
            Finding("gpu", WARN, "the engine in use needs no GPU, so none was tried", "set ENGINE=hunyuan")
        ]
    advice = "see the message; `nvidia-smi` shows what else uses the card"
    return [
        Finding(
            f"{card} {trial.name}", OK if trial.fine else BROKEN, trial.words, "" if trial.fine else advice
        )
        for card in cards
        for trial in trials(config, card)
    ]


def background_model(config: Config) -> Finding:
    """The weights for background removal."""
    for name in (config.rembg_model, models.FALLBACK):
        path = models.locate(name, config.u2net_home)
        if path and not models.verified(path, models.known(name)):
            return Finding(
                "background",
                BROKEN,
                f"{path} is damaged (its sha256 is wrong)",
                f"run {command.typed('models pull')}",
            )
        if path and name == config.rembg_model:
            return Finding("background", OK, f"{name}, verified, in {path}")
        if path:
            return Finding(
                "background",
                WARN,
                f"{config.rembg_model} is not here; the small {name} is used in its place",
                f"run {command.typed(f'models pull {config.rembg_model}')}",
            )
    return Finding(
        "background",
        BROKEN,
        f"no background-removal model in {config.u2net_home}",
        f"run {command.typed('models pull')}",
    )
