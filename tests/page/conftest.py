"""One browser and one service for each file of browser tests.

Not longer: while Playwright's browser is open, nothing else in this process can run an event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.page.browser import COFFEE, address_of, answers, launch, send, tab
from tests.service import Service, running
from tests.support import picture, until


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, u2net_home: Path) -> Iterator[Service]:
    # A frozen worker that is idle is taken for a hung one a minute after the folders should have been looked through.
    patient = {"PROTOSCALE_SCAN_EVERY": "600"}
    with running(tmp_path_factory.mktemp("page") / "spool", u2net_home, **patient) as service:
        until(lambda: answers(service), 60)
        yield service


@pytest.fixture
def address(service: Service) -> str:
    return address_of(service)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with tab(browser, address) as page:
        yield page


@pytest.fixture
def ellipse(tmp_path: Path) -> Path:
    """A photo that soon becomes a model."""
    path = tmp_path / "ellipse.png"
    path.write_bytes(picture((320, 280)))
    return path


@pytest.fixture(scope="module")
def model(service: Service) -> str:
    """A finished job of the example photo, for looking at it in other ways."""
    job = send(address_of(service), "coffee.png", COFFEE.read_bytes(), quality="balanced", start="true")
    assert service.finished(job, 120)["status"] == "completed"
    return job
