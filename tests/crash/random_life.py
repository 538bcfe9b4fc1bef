"""A life that chance leads: what nobody thought of when the others were written."""

from __future__ import annotations

import errno
import random

from daemon.errors import BadJob, EngineError
from spool.errors import NoSuchJob, SpoolError
from spool.layout import DONE, FAILED, HELD, RUNNING
from tests.crash.life import GEOMETRY, TEXTURE, Killed, Life
from tests.crash.recovery import ALL


def random_life(life: Life, seed: int, verbs: int = 14) -> None:
    """Any verb in any order, as far as the service accepts it."""
    chance = random.Random(seed)
    life.open()
    names = iter(f"{number}.png" for number in range(100))
    troubles: tuple[BaseException, ...] = (
        Killed(),
        EngineError("hiccup"),
        BadJob("bad"),
        OSError(errno.ENOSPC, "full"),
    )
    for _ in range(verbs):
        verb = chance.choice(("submit", "upload", "drop", "ask", "ask", "step", "step", "step", "recover"))
        if verb == "submit":
            life.submit(next(names), model=chance.random() < 0.7)
        elif verb == "upload":
            life.upload(next(names))
        elif verb == "drop":
            life.drop(next(names) if chance.random() < 0.7 else f"bad-{next(names)}")
            life.look()
            if chance.random() < 0.5:
                life.look()  # with nothing there
        elif verb == "step":
            error = chance.choice(troubles) if chance.random() < 0.4 else None
            trouble = dict.fromkeys(("cutout", "geometry", "texture"), error) if error else {}
            life.step(chance.choice((ALL, TEXTURE, GEOMETRY)), {k: v for k, v in trouble.items() if v})
        elif verb == "recover":
            life.recover()
        elif life.ids:
            _ask(life, chance)
    life.recover()
    life.work_off()


def _ask(life: Life, chance: random.Random) -> None:
    name = chance.choice(sorted(life.ids))
    try:
        found = life.spool.find(life.ids[name])
    except NoSuchJob:
        return
    wishes: dict[str, tuple[str, ...]] = {
        HELD: ("views", "model", "model", "cancel", "remove"),
        FAILED: ("retry", "retry", "remove"),
        DONE: ("remove",),
        RUNNING: ("cancel",),
    }
    wish = chance.choice(wishes.get(found.folder, ("cancel", "model")))
    request = found.job.request
    if wish in ("views", "model") and (getattr(request, wish) or (request.views and found.folder != HELD)):
        return  # asking again: it changes nothing, or is refused
    try:
        if wish in ("views", "model"):
            life.release(name, model=wish == "model")
        else:
            getattr(life, wish)(name)
    except SpoolError as error:
        raise AssertionError(f"{wish} of {name} in {found.folder}: {error}") from error
