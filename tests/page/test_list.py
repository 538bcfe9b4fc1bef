"""What the list, the header and the start say, in a real Chromium."""

from __future__ import annotations

from collections import Counter
from functools import partial

from playwright.sync_api import Browser, Page, Request, expect

from tests.page.browser import (
    COFFEE,
    MARKS,
    SHAPE,
    frozen,
    is_ready,
    is_shown,
    look_at,
    row,
    send,
    settle,
    tab,
)
from tests.service import Service
from tests.support import picture, until

pytestmark = MARKS
GONE = "aaaaaaaa-0000-7000-8000-000000000000"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
HEADER = 72
"""Pixels of a phone's own bars, at most, that the page does not get."""


def test_an_empty_list_says_what_to_do_and_a_phone_sees_it(browser: Browser, address: str) -> None:
    for options in ({}, PHONE):
        with tab(browser, address, **options) as page:
            expect(page.get_by_text("its model appears here")).to_be_visible()
            expect(page.locator("#waiting")).to_contain_text("nothing waits")


def test_a_link_to_a_job_that_is_gone_says_so(
    browser: Browser, page: Page, service: Service, address: str
) -> None:
    job = send(address, "held.png")
    for options in ({}, PHONE):
        with tab(browser, address, **options) as other:
            other.goto("about:blank")
            other.goto(f"{address}/#{GONE}")
            expect(other.locator("#gone")).to_contain_text("no longer here")
            expect(other.locator("#job")).to_be_hidden()
            row(other, job).locator("a").click()
            is_shown(other, job)
            expect(other.locator("#gone")).to_be_hidden()
    # Also where it was looked at when somebody else deleted it.
    look_at(page, job)
    service.spool.remove(job)
    expect(page.locator("#gone")).to_contain_text("no longer here")


def test_a_picture_that_cannot_be_had_is_asked_for_once(
    browser: Browser, service: Service, address: str
) -> None:
    """Looks without events: one a second, of which each asked again for every picture that was not there."""
    photo = COFFEE.read_bytes()
    job = send(address, "torn.png", photo[: len(photo) // 2], start="true")
    assert service.finished(job)["status"] == "failed"
    asked: Counter[str] = Counter()

    def count(request: Request) -> None:
        asked[request.url.removeprefix(f"{address}/").replace(job, "JOB")] += 1

    with tab(browser, address) as page:
        page.route("**/api/events", lambda route: route.abort())
        page.goto("about:blank")
        page.on("request", count)
        page.goto(address)
        until(lambda: page.evaluate("1") and asked["health"] >= 6, 60)
        assert {asked[path] for path in asked if "thumbnail" in path} == {1}, asked
        expect(row(page, job).locator(".thumb svg")).to_be_visible()
        # It is asked for again once the service was away.
        page.context.set_offline(True)
        expect(page.locator("#trouble")).to_be_visible()
        page.context.set_offline(False)
        expect(page.locator("#trouble")).to_be_hidden()
        until(lambda: page.evaluate("1") and asked["api/jobs/JOB/thumbnail?stage=failed"] == 2)
    service.spool.remove(job)


def has_a_cutout(service: Service, job_id: str) -> bool:
    return service.spool.find(job_id).job.has("cutout.png")


def test_a_row_and_the_header_say_what_waits_and_what_runs(
    page: Page, service: Service, address: str
) -> None:
    with frozen(service, SHAPE):
        jobs = [send(address, f"{number}.png", picture((200, 160)), start="true") for number in range(3)]
        for job in jobs:  # their cut-outs are made, and the shape of at most one was begun
            until(partial(has_a_cutout, service, job), 60)
        looked_at = jobs[-1]
        look_at(page, looked_at)
        expect(page.locator("#message")).to_contain_text("for the shape")
        said = page.locator("#job-state").inner_text()
        assert said.startswith("Waiting, number "), said
        expect(row(page, looked_at).locator(".row-state")).to_contain_text(said)
        expect(row(page, looked_at).locator(".row-state")).not_to_contain_text("%")
        expect(page.locator("#waiting")).to_contain_text("waiting")
        expect(page.locator("#waiting")).not_to_contain_text("nothing waits")
    is_ready(page, looked_at)
    for job in jobs:
        service.finished(job)
        service.spool.remove(job)


def test_the_header_does_not_call_a_queue_empty_in_which_a_job_runs(browser: Browser, address: str) -> None:
    with tab(browser, address) as page:
        told = page.request.get("/api/queue").json()
        told["counts"]["running"] = 1
        page.route("**/api/queue?*", lambda route: route.fulfill(json=told))
        expect(page.locator("#waiting")).to_contain_text("1 running")
        expect(page.locator("#waiting")).not_to_contain_text("nothing waits")


def test_the_download_is_seen_without_scrolling_and_no_tool_covers_another(
    browser: Browser, address: str, model: str
) -> None:
    for options in ({"viewport": {"width": 1280, "height": 800}}, PHONE):
        with tab(browser, address, **options) as page:
            look_at(page, model)
            is_ready(page, model)
            place = page.locator("#download").bounding_box()
            height = page.viewport_size["height"] if page.viewport_size else 0
            assert place and place["y"] + place["height"] <= height - (HEADER if options is PHONE else 0), (
                place
            )
    with tab(browser, address, viewport={"width": 320, "height": 700}) as page:
        look_at(page, model)
        is_ready(page, model)
        for width in (320, 340, 360, 375, 390):
            page.set_viewport_size({"width": width, "height": 700})
            settle(page)
            places = page.locator("#tools .choice label, #reset").evaluate_all(
                "all => all.map((one) => { const at = one.getBoundingClientRect();"
                " return [at.left, at.right, at.top, at.bottom]; })"
            )
            for number, (left, right, top, bottom) in enumerate(places):
                assert left >= 0 and right <= width, (width, places)
                for other in places[number + 1 :]:
                    beside = right <= other[0] + 1 or other[1] <= left + 1
                    assert beside or bottom <= other[2] or other[3] <= top, (width, places)
