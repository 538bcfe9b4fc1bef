"""The page while its service goes away, pauses, or wants a key; in a real Chromium."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect

from tests.page.browser import (
    MARKS,
    SHAPE,
    answers,
    choose,
    frozen,
    is_loaded,
    is_ready,
    is_shown,
    look_at,
    opened,
    pixels,
    red,
    row,
    tab,
)
from tests.service import Service
from tests.support import until

pytestmark = MARKS


def test_reload_second_tab_lost_connection_and_killed_server(
    page: Page, service: Service, ellipse: Path
) -> None:
    with frozen(service, SHAPE):
        job = choose(page, ellipse)
        is_shown(page, job)
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        page.reload()
        is_shown(page, job)
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        other = opened(page.context)
        expect(row(other, job)).to_have_attribute("data-status", "processing")
        look_at(other, job)

        page.context.set_offline(True)
        expect(other.locator("#trouble")).to_contain_text("does not answer")
        page.context.set_offline(False)
        expect(other.locator("#trouble")).to_be_hidden()

        service.web().kill()
        until(lambda: answers(service), 60)
    is_ready(other, job)  # nobody reloaded it
    page.bring_to_front()
    is_ready(page, job)
    page.locator("#delete").click()
    page.locator("#confirm-yes").click()
    other.bring_to_front()
    expect(row(other, job)).to_have_count(0)


def test_the_queue_is_paused_and_resumed(
    browser: Browser, service: Service, address: str, ellipse: Path
) -> None:
    with tab(browser, address) as page:
        expect(page.locator("#pause")).to_be_visible()  # what is hidden takes no focus
        page.locator("#pause").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#paused")).to_contain_text("paused since")
        expect(page.locator("#pause")).to_be_hidden()
        job = choose(page, ellipse)
        is_shown(page, job)
        expect(page.locator("#message")).to_contain_text("Waiting, number 1 for the cut-out")
        other = opened(page.context)
        expect(other.locator("#paused")).to_be_visible()
        assert service.spool.waiting("inbox")
        other.get_by_role("button", name="Resume").click()
        expect(other.locator("#paused")).to_be_hidden()
        page.bring_to_front()
        is_ready(page, job)
        expect(page.locator("#paused")).to_be_hidden()


def test_a_key_is_asked_for_and_remembered(browser: Browser, address: str, model: str) -> None:
    """The service may want a key for everything of a job, pictures and the model included."""

    def guard(route: Route) -> None:
        headers = dict(route.request.headers)
        if headers.pop("x-api-key", None) == "open sesame":
            route.continue_(headers=headers)  # the service behind knows no such key
        else:
            route.fulfill(status=401, json={"detail": "send an API key in X-API-Key"})

    with tab(browser, address) as page:
        page.context.route("**/api/**", guard)
        page.goto(f"/#{model}")
        page.reload()
        page.get_by_role("button", name="Not now").click()
        expect(page.locator("#trouble")).to_contain_text("API key")
        page.get_by_role("button", name="Enter an API key").click()
        page.locator("#key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_have_value("")
        page.locator("#key").fill("open sesame")
        page.keyboard.press("Enter")
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
