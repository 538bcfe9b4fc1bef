"""What can be asked of a job, and of the list of them, in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.page.browser import (
    MARKS,
    SHAPE,
    choose,
    frozen,
    held_back,
    is_ready,
    is_shown,
    look_at,
    row,
    send,
    settle,
    tab,
)
from tests.service import Service
from tests.support import submit

pytestmark = MARKS


def test_cancel_retry_and_delete(page: Page, service: Service, ellipse: Path, address: str) -> None:
    with frozen(service, SHAPE):
        job = choose(page, ellipse)
        is_shown(page, job)
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        page.get_by_role("button", name="Cancel").click()
        # Before the worker goes on: it could be faster than the request.
        expect(page.locator("#job-state")).to_have_text("Cancelled")
    expect(row(page, job)).to_contain_text("Cancelled")
    page.get_by_role("button", name="Try again").click()
    is_ready(page, job)
    page.locator("#delete").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#confirm")).to_be_hidden()
    assert httpx.get(f"{address}/api/jobs/{job}", timeout=60).status_code == 200
    page.locator("#delete").click()
    page.locator("#confirm-yes").click()
    expect(row(page, job)).to_have_count(0)
    expect(page.locator("#job")).to_be_hidden()
    assert httpx.get(f"{address}/api/jobs/{job}", timeout=60).status_code == 404


def test_a_question_asked_again_at_once_is_answered_for_itself(page: Page, address: str) -> None:
    """A dialog tells of its end a moment later: what was Escape for the first question is no answer to the second."""
    job = send(address, "held.png")
    look_at(page, job)
    expect(row(page, job)).to_be_visible()
    page.evaluate("""() => {
        document.getElementById("delete").click();
        document.getElementById("confirm").close();
        document.getElementById("delete").click();
    }""")
    expect(page.locator("#confirm")).to_be_visible()
    settle(page)
    page.locator("#confirm-yes").click()
    expect(row(page, job)).to_have_count(0)


def test_a_click_means_the_job_that_was_chosen_and_not_the_one_still_shown(page: Page, address: str) -> None:
    before, chosen = send(address, "before.png"), send(address, "chosen.png")
    look_at(page, before)
    with held_back(page, f"**/api/jobs/{chosen}/status"):
        row(page, chosen).locator("a").click()
        expect(row(page, chosen).locator("a")).to_have_attribute("aria-current", "true")
        page.locator("#delete").scroll_into_view_if_needed()
        place = page.locator("#delete").bounding_box()
        assert place
        page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        assert page.locator("#confirm").is_hidden()
    is_shown(page, chosen)
    page.locator("#delete").click()
    expect(page.locator("#confirm-words")).to_contain_text("chosen.png")
    page.locator("#confirm-yes").click()
    expect(row(page, chosen)).to_have_count(0)
    expect(row(page, before)).to_be_visible()


def test_the_end_of_a_job_takes_nobody_away_from_another(page: Page, address: str) -> None:
    job, other = send(address, "job.png"), send(address, "other.png")
    look_at(page, job)
    with held_back(page, f"**/api/jobs/{job}"):
        page.locator("#delete").click()
        page.locator("#confirm-yes").click()
        row(page, other).locator("a").click()
        is_shown(page, other)
    expect(row(page, job)).to_have_count(0)
    settle(page)
    expect(row(page, other).locator("a")).to_have_attribute("aria-current", "true")
    assert page.evaluate("location.hash") == f"#{other}"


def test_a_refusal_is_told_below_no_other_job(page: Page, address: str) -> None:
    job, other = send(address, "job.png"), send(address, "other.png")
    look_at(page, job)
    with page.expect_response(f"**/api/jobs/{job}") as answer, held_back(page, f"**/api/jobs/{job}"):
        page.locator("#delete").click()
        page.locator("#confirm-yes").click()
        row(page, other).locator("a").click()
        is_shown(page, other)
        assert httpx.delete(f"{address}/api/jobs/{job}", timeout=60).is_success  # somebody else was faster
    assert answer.value.status == 404
    answer.value.finished()
    settle(page)
    expect(page.locator("#job-trouble")).to_have_count(0)
    is_shown(page, other)


def test_a_viewer_that_starts_late_draws_nothing_over_another_job(
    browser: Browser, address: str, model: str
) -> None:
    held = send(address, "held.png")
    with tab(browser, address) as page:
        with held_back(page, "**/page/three/VERSION"):
            page.goto(f"/#{model}")
            page.reload()
            is_shown(page, model)
            look_at(page, held)
            expect(page.locator("#still")).to_be_visible()
        page.locator("#canvas[width]").wait_for(state="attached")  # the viewer is there
        settle(page)
        assert page.locator("#canvas").is_hidden()
        assert page.locator("#still").is_visible()
        look_at(page, model)
        is_ready(page, model)


def test_older_jobs_are_shown_when_they_are_asked_for(page: Page, service: Service) -> None:
    held = [submit(service.spool, "held", views=False, model=False).id for _ in range(51)]
    expect(page.locator("#older")).to_be_visible()
    expect(page.locator("#jobs li")).to_have_count(50)
    page.locator("#older").click()
    expect(row(page, held[0])).to_be_visible()
    expect(page.locator("#older")).to_be_hidden()
    for job in held:
        service.spool.remove(job)
    expect(row(page, held[0])).to_have_count(0)
