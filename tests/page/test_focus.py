"""Where the keyboard's focus goes when what had it is done, in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from tests.page.browser import MARKS, SHAPE, choose, frozen, held_back, is_ready, is_shown, look_at
from tests.service import Service

pytestmark = MARKS


def test_pause_and_resume_hand_it_to_each_other(page: Page) -> None:
    for button, other in (("#pause", "#resume"), ("#resume", "#pause")):
        expect(page.locator(button)).to_be_visible()  # what is hidden takes no focus
        page.locator(button).focus()
        page.keyboard.press("Enter")
        expect(page.locator(other)).to_be_focused()


def test_cancel_and_try_again_hand_it_to_each_other(page: Page, service: Service, ellipse: Path) -> None:
    with frozen(service, SHAPE):
        job = choose(page, ellipse)
        is_shown(page, job)
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        page.locator("#cancel").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#retry")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#cancel")).to_be_focused()
    expect(page.locator("#download")).to_be_focused()  # the job ended under it
    is_ready(page, job)
    service.spool.remove(job)


def test_an_export_keeps_it_while_it_is_made(page: Page, address: str, model: str) -> None:
    assert "/api/jobs/{job_id}/report" in {route["path"] for route in httpx.get(address).json()["routes"]}
    look_at(page, model)
    is_ready(page, model)
    button = page.get_by_role("button", name="STL")
    button.focus()
    with page.expect_download() as download, held_back(page, "**/result/model.stl*"):
        page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-disabled", "true")
        expect(button).to_be_focused()
        page.keyboard.press("Enter")  # a second one asks for nothing
    assert download.value.suggested_filename == "coffee.stl"
    expect(button).to_have_text("STL")
    expect(button).to_be_focused()
