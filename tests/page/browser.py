"""A real browser before the real service: what the page's tests share."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright

from tests.service import ROOT, Service

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",  # CI is root in a container
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 120_000
"""Milliseconds: software WebGL on a busy machine is slow, and nothing here measures speed."""
PICTURES = Path(os.environ.get("PROTOSCALE_TEST_PICTURES", ROOT / "build" / "page"))
"""Where the screenshots go (`make page-pictures` says docs/images)."""
COLOURS = 255
LARGEST = 300_000

_LISTEN = """
window.violations = [];
addEventListener("securitypolicyviolation", (e) => violations.push(`${e.effectiveDirective} ${e.blockedURI}`));
"""


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))


@contextmanager
def tab(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A window of its own, closed at the end; a script error or a blocked request fails the test."""
    options.setdefault("viewport", {"width": 1280, "height": 900})
    with browser.new_context(base_url=address, **options) as context:
        yield opened(context)
        for page in context.pages:
            assert page.evaluate("violations") == []
            assert errors_of(page) == []


_ERRORS: dict[Page, list[str]] = {}


def opened(context: BrowserContext, path: str = "/") -> Page:
    """The page, loaded and filled."""
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    _ERRORS[page] = []
    page.on("pageerror", lambda error: _ERRORS[page].append(str(error)))
    page.add_init_script(_LISTEN)
    page.goto(path)
    page.locator("#devices li").first.wait_for()
    return page


def errors_of(page: Page) -> list[str]:
    return _ERRORS.pop(page, [])


def choose(page: Page, *photos: Path, quality: str = "draft") -> None:
    """Send photos the way most people do."""
    page.locator(f"#quality input[value={quality}]").check(force=True)
    page.locator("#files").set_input_files(list(photos))


def is_ready(page: Page, name: str = "coffee.png") -> None:
    """Wait until the job of that name is looked at, is done, and its model drawn."""
    page.locator("#job-name", has_text=name).wait_for()
    job = page.url.partition("#")[2]
    page.locator("#job-state[data-status=completed]").wait_for()
    page.locator(f"canvas[data-drawn='{job}/model.glb']").wait_for()
    settle(page)


def settle(page: Page) -> None:
    """Let the frames that were asked for be drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels(what: Locator) -> NDArray[np.int16]:
    """A screenshot of one element, RGB of shape (rows, columns, 3)."""
    return np.asarray(Image.open(io.BytesIO(what.screenshot())).convert("RGB"), np.int16)


def keep(page: Page, name: str, **options: Any) -> None:
    """A screenshot for the documents, in few enough colours to stay small."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(0, 0)
    shot = Image.open(io.BytesIO(page.screenshot(**options))).convert("RGB")
    target = PICTURES / f"page-{name}.png"
    shot.quantize(COLOURS).save(target, optimize=True)
    assert target.stat().st_size < LARGEST, target


@contextmanager
def frozen(service: Service, worker: str) -> Iterator[None]:
    """A worker that does nothing meanwhile, so that a job surely stays where it is."""
    pid = service.pid(worker)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def red(picture: NDArray[np.int16]) -> float:
    """The share of pixels that are as red as the cup of the example photo."""
    r, g, b = np.moveaxis(picture, -1, 0)
    return float(np.mean((r > 110) & (r - g > 55) & (r - b > 55)))


def green(picture: NDArray[np.int16]) -> float:
    """The share of pixels in the colour of the wires."""
    r, g, b = np.moveaxis(picture, -1, 0)
    return float(np.mean((g - r > 30) & (b - r > 15)))
