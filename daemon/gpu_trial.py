"""`protoscale doctor --gpu`: one draft job for real on each GPU, in processes of their own.

load     the shape model loads, and one draft shape comes out of it
memory   what was free before the load is free again after the unload
texture  where the service paints on this device: the texture model loads, and paints a body of the default quality
crash    a process killed in the middle of a diffusion step leaves a card on which the next job works
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from daemon.config import Config
from daemon.devices import GEOMETRY_STAGES, Post, posts
from daemon.engines.choose import DEVICES, HUNYUAN
from daemon.errors import DaemonError
from daemon.process import see_only
from spool.parent import die_with

if TYPE_CHECKING:
    from PIL.Image import Image

PAINTING = ("texture",)
PATIENCE = 1800.0
"""Seconds a trial may take: a cold disk reads 7 GB of weights first."""
ALLOWED = 256 << 20
"""Bytes that may stay in use: the context's own bookkeeping."""


@dataclass(frozen=True)
class Trial:
    """What one trial found: `fine`, and what happened in words."""

    name: str
    fine: bool
    words: str


def trials(config: Config, device: str) -> list[Trial]:
    """Run all of them on `device`, each in a process of its own."""
    found = _in_a_process(load_and_unload, config, device)
    if _paints(config, device):
        found += _in_a_process(texture, config, device)
    return found + _in_a_process(crash, config, device)


def load_and_unload(config: Config, device: str) -> list[Trial]:
    """Load, make one draft, unload, and compare the free memory."""
    from daemon.engines.base import Order
    from daemon.engines.choose import hunyuan

    engine = hunyuan(config, Post("trial", device, GEOMETRY_STAGES))
    engine.check()
    card = engine.memory.device
    card.clean()
    before = card.free()
    began = time.monotonic()
    mesh = engine.geometry(_photo(), Order("draft", 1), _unheard)(_unheard)
    took = time.monotonic() - began
    made = Trial(
        "load", len(mesh.faces) > 0, f"a draft of {len(mesh.faces):,} faces in {took:.1f} s, loading included"
    )
    engine.unload()
    lost = before - card.free()
    # The CPU's free memory is everybody's: only a card that is this worker's own can be held to it.
    fine = lost <= ALLOWED or device == "cpu"
    return [made, Trial("memory", fine, f"{max(lost, 0) / 2**20:.0f} MiB are not back after the unload")]


def texture(config: Config, device: str) -> list[Trial]:
    """Paint a ball as the default quality does: it takes the native rasterizer, which a draft never asks for."""
    import trimesh

    from daemon.engines.base import Order
    from daemon.engines.choose import hunyuan
    from spool.layout import DEFAULT_QUALITY

    engine = hunyuan(config, Post("trial", device, PAINTING))
    engine.check()
    began = time.monotonic()
    ball = trimesh.creation.icosphere(subdivisions=3)
    painted = engine.texture(ball, _photo(), Order(DEFAULT_QUALITY, 1), _unheard)(_unheard)
    colours = painted.visual.material.baseColorTexture.convert("RGB").getextrema()
    flat = all(low == high for low, high in colours)
    took = f"in {time.monotonic() - began:.1f} s, loading included"
    return [Trial("texture", not flat, f"the colours are all one, {took}" if flat else f"painted {took}")]


def _paints(config: Config, device: str) -> bool:
    """Whether the service gives textures to `device`; a card that only makes shapes may be too small for them."""
    posted = posts(config, DEVICES[HUNYUAN])
    return config.enable_texture and any(
        post.device == device and "texture" in post.stages for post in posted
    )


def crash(config: Config, device: str) -> list[Trial]:
    """Kill a process in a diffusion step; then make a draft on the same card, twice, and compare."""
    from daemon.engines.base import Order
    from daemon.engines.choose import hunyuan

    context = multiprocessing.get_context("spawn")
    victim = context.Process(target=_die_in_a_step, args=(os.getpid(), config, device))
    victim.start()
    engine = hunyuan(config, Post("trial", device, GEOMETRY_STAGES))  # imports meanwhile, and touches no card
    victim.join(PATIENCE)
    died = victim.exitcode == -signal.SIGKILL
    victim.kill()
    first, second = (engine.geometry(_photo(), Order("draft", 1), _unheard).parts[0] for _ in range(2))
    same = first.shape == second.shape and bool((abs(first - second) < 1e-2).all())
    words = "killed in a diffusion step; the next draft is whole, and the same twice"
    return [Trial("crash", died and same, words if died and same else "the draft after a kill is not right")]


def _die_in_a_step(parent: int, config: Config, device: str) -> None:
    from daemon.engines.base import Order
    from daemon.engines.choose import hunyuan

    die_with(parent)
    see_only(device)

    def stepped(share: float, message: str) -> None:
        if "step 2" in message:
            os.kill(os.getpid(), signal.SIGKILL)

    hunyuan(config, Post("trial", device, GEOMETRY_STAGES)).geometry(_photo(), Order("draft", 1), stepped)


def _in_a_process(trial: Callable[[Config, str], list[Trial]], config: Config, device: str) -> list[Trial]:
    context = multiprocessing.get_context("spawn")
    line, theirs = context.Pipe()
    child = context.Process(target=_run, args=(os.getpid(), trial, config, device, theirs))
    child.start()
    theirs.close()
    try:
        if line.poll(PATIENCE):
            found: list[Trial] = line.recv()
            return found
        return [Trial(trial.__name__, False, f"nothing came of it within {PATIENCE:.0f} s")]
    except EOFError:
        child.join()
        return [Trial(trial.__name__, False, f"the process that tried it died ({child.exitcode})")]
    finally:
        child.kill()
        child.join()


def _run(
    parent: int, trial: Callable[[Config, str], list[Trial]], config: Config, device: str, line: Connection
) -> None:
    die_with(parent)
    see_only(device)
    try:
        line.send(trial(config, device))
    except DaemonError as error:
        line.send([Trial(trial.__name__, False, str(error))])


def _photo() -> Image:
    """A cup, more or less, on nothing."""
    from PIL import Image, ImageDraw

    image = Image.new("RGBA", (512, 512))
    draw = ImageDraw.Draw(image)
    draw.ellipse((330, 180, 460, 340), outline=(150, 60, 40, 255), width=28)
    draw.rounded_rectangle((110, 120, 380, 420), 60, fill=(190, 80, 50, 255))
    return image


def _unheard(share: float, message: str) -> None:
    """Progress that nobody waits for."""
