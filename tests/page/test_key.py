"""A service that wants an API key, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect

from tests.page.browser import MARKS, is_loaded, is_ready, pixels, red, tab

pytestmark = MARKS


def guard(page: Page) -> None:
    """From now on the service wants the key `open sesame` for all of a job, pictures and the model included."""

    def answer(route: Route) -> None:
        headers = dict(route.request.headers)
        key = headers.pop("x-api-key", None)
        if key == "open sesame":
            route.continue_(headers=headers)  # the service behind knows no such key
        else:
            why = "this key is not known" if key else "send an API key in X-API-Key"
            route.fulfill(status=401, json={"detail": why})

    page.context.route("**/api/**", answer)


@contextmanager
def guarded(browser: Browser, address: str, model: str) -> Iterator[Page]:
    """A window that looks at a model of a service that wants a key."""
    with tab(browser, address) as page:
        guard(page)
        page.goto(f"/#{model}")
        page.reload()
        yield page


def enter(page: Page, key: str) -> None:
    page.locator("#key").fill(key)
    page.keyboard.press("Enter")


def kept(page: Page) -> str | None:
    return str(page.evaluate("localStorage.getItem('protoscale.key') ?? ''")) or None


def test_a_key_is_asked_for_and_remembered(browser: Browser, address: str, model: str) -> None:
    with guarded(browser, address, model) as page:
        expect(page.locator("#key-refused")).to_be_hidden()
        page.get_by_role("button", name="Not now").click()
        expect(page.locator("#trouble")).to_contain_text("API key")
        page.get_by_role("button", name="Enter an API key").click()
        enter(page, "open sesame")
        is_ready(page, model)
        expect(page.locator("#ask-key")).to_be_hidden()
        image = page.locator("#strip img").nth(1)
        is_loaded(image)
        assert image.evaluate("image => image.src.startsWith('blob:')")
        assert red(pixels(page.locator("#canvas"))) > 0.05
        with page.expect_download() as download:
            page.get_by_role("link", name="Download GLB").click()
        assert Path(download.value.path()).read_bytes()[:4] == b"glTF"
        page.reload()
        is_ready(page, model)


def test_a_wrong_key_is_refused_with_the_reason_and_not_kept(
    browser: Browser, address: str, model: str
) -> None:
    with guarded(browser, address, model) as page:
        expect(page.locator("#ask-key")).to_be_visible()
        enter(page, "wrong")
        expect(page.locator("#key-refused")).to_contain_text("this key is not known")
        assert kept(page) is None
        page.get_by_role("button", name="Not now").click()
        another = page.get_by_role("button", name="Enter another API key")
        expect(another).to_be_visible()
        another.click()
        expect(page.locator("#key-refused")).to_be_hidden()
        enter(page, "open sesame")
        is_ready(page, model)
        expect(page.get_by_role("button", name="Forget the API key")).to_be_visible()
        assert kept(page) == "open sesame"


def test_a_download_that_fails_says_so(browser: Browser, address: str, model: str) -> None:
    with guarded(browser, address, model) as page:
        expect(page.locator("#ask-key")).to_be_visible()
        enter(page, "open sesame")
        is_ready(page, model)
        page.context.route(
            "**/result/model.glb",
            lambda route: route.fulfill(status=503, json={"detail": "the disk is sick"}),
        )
        page.locator("#download").click()
        expect(page.locator("#job-trouble")).to_contain_text("the disk is sick")
        expect(page.locator("#download")).to_have_text("Download GLB")
        expect(page.locator("#download")).to_be_focused()
