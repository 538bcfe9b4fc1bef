"""A real browser before the real service: what the page's tests share."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, Route, expect

from tests.service import ROOT, Service
from tests.support import picture, until

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
expect.set_options(timeout=PATIENCE)
MARKS = [
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"),
]
"""What every file of browser tests is marked with."""
COFFEE = ROOT / "examples" / "coffee.png"
SHAPE = "geometry-cpu"
"""The worker that makes shapes."""
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


def address_of(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def answers(service: Service) -> bool:
    """Whether its HTTP server is there now."""
    try:
        return httpx.get(f"{address_of(service)}/health").status_code == 200
    except httpx.TransportError:
        return False


def send(address: str, name: str, content: bytes | None = None, **fields: str) -> str:
    """A job that did not come by the page: its id. It starts only where `fields` say so."""
    files = {"file": (name, picture() if content is None else content)}
    answer = httpx.post(f"{address}/api/upload", files=files, data=fields, timeout=60)
    return str(answer.raise_for_status().json()["job_id"])


def choose(page: Page, photo: Path, quality: str = "draft") -> str:
    """Send a photo the way most people do: the job's id. Its own page is shown a moment later."""
    page.locator(f"#quality input[value={quality}]").check(force=True)
    with page.expect_response("**/api/upload") as answer:
        page.locator("#files").set_input_files(photo)
    return str(answer.value.json()["job_id"])


def is_shown(page: Page, job: str) -> None:
    """Wait until what is shown is of this job: the page begins with the newest, and stays with the one before."""
    page.locator(f"#job[data-job='{job}']").wait_for()


def look_at(page: Page, job: str) -> None:
    page.goto(f"/#{job}")
    is_shown(page, job)


def is_ready(page: Page, job: str) -> None:
    """Wait until the job is looked at, is done, and its model drawn."""
    page.locator(f"#job[data-job='{job}'] #job-state[data-status=completed]").wait_for()
    page.locator(f"canvas[data-drawn='{job}/model.glb']").wait_for()
    settle(page)


def row(page: Page, job: str) -> Locator:
    """The job in the list."""
    return page.locator(f"#jobs li[data-job='{job}']")


def is_loaded(image: Locator) -> None:
    """Wait until a large picture is there: an <img> is visible before what it shows has come."""
    expect(image).to_be_visible()
    until(lambda: image.evaluate("image => image.complete && image.naturalWidth >= 256"), PATIENCE / 1000)


@contextmanager
def held_back(page: Page, pattern: str) -> Iterator[None]:
    """Requests that get no answer before the block ends."""
    held: list[Route] | None = []

    def arrive(route: Route) -> None:
        if held is None:
            route.continue_()
        else:
            held.append(route)

    page.route(pattern, arrive)
    try:
        yield
    finally:
        waiting, held = held, None
        for route in waiting or ():
            route.continue_()


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
    palette = shot.quantize(COLOURS)
    shot.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)
    assert target.stat().st_size < LARGEST, target


@contextmanager
def frozen(service: Service, worker: str) -> Iterator[None]:
    """A worker that does nothing meanwhile, so that a job surely stays where it is."""
    pid = service.pid(worker)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # what became of it, the test tells
            os.kill(pid, signal.SIGCONT)


def red(picture: NDArray[np.int16]) -> float:
    """The share of pixels that are as red as the cup of the example photo."""
    r, g, b = np.moveaxis(picture, -1, 0)
    return float(np.mean((r > 110) & (r - g > 55) & (r - b > 55)))


def green(picture: NDArray[np.int16]) -> float:
    """The share of pixels in the colour of the wires."""
    r, g, b = np.moveaxis(picture, -1, 0)
    return float(np.mean((g - r > 30) & (b - r > 15)))
