"""The page while its service goes away, does not answer, or pauses; in a real Chromium."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.page.browser import (
    MARKS,
    SHAPE,
    answers,
    choose,
    frozen,
    held_back,
    is_ready,
    is_shown,
    look_at,
    opened,
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


def test_a_network_that_hangs_is_told_and_looked_through_again(page: Page) -> None:
    with held_back(page, "**/health"):
        expect(page.locator("#trouble")).to_contain_text("does not answer")
    expect(page.locator("#trouble")).to_be_hidden()


def test_the_queue_is_paused_and_resumed(
    browser: Browser, service: Service, address: str, ellipse: Path
) -> None:
    with tab(browser, address) as page:
        expect(page.locator("#pause")).to_be_visible()  # what is hidden takes no focus
        page.locator("#pause").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#paused")).to_contain_text("paused since")
        expect(page.locator("#pause")).to_be_hidden()
        expect(page.locator("#resume")).to_be_focused()
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
