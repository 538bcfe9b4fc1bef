"""What the server sends of the page: to whom, which files, under which policy."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from httpd.app import create_app
from httpd.config import HttpConfig
from httpd.page import FOLDER
from spool.settings import read
from spool.spool import Spool
from tests.support import picture, submit

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
OURS = [path for path in FOLDER.iterdir() if path.is_file()]


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    config = read(HttpConfig, {"PROTOSCALE_SPOOL": str(tmp_path / "spool"), "PROTOSCALE_RESERVE": "1M"})
    return TestClient(create_app(config), base_url="http://127.0.0.1")


def test_browsers_get_the_page_and_programs_the_entry_points(client: TestClient) -> None:
    page = client.get("/", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>ProtoScale</title>" in page.text
    for accept in ("application/json", "*/*", ""):
        told = client.get("/", headers={"Accept": accept})
        assert "/api/upload" in {route["path"] for route in told.json()["routes"]}
        assert told.headers["vary"] == page.headers["vary"] == "Accept"
    again = client.get("/", headers={**BROWSER, "If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head("/", headers=BROWSER).status_code == 200


def test_the_policy_allows_nothing_inline_and_nothing_foreign(client: TestClient) -> None:
    for path in ("/", "/page/main.js", "/page/page.css"):
        answer = client.get(path, headers=BROWSER)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy and "data:" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_files_keep_to_the_policy() -> None:
    markup = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", markup)
    assert re.findall(r"<script[^>]*>([^<]*)", markup) == [""]
    for path in OURS:
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), path
        foreign = set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not foreign, path


def test_every_file_the_page_names_is_sent_with_its_type(client: TestClient) -> None:
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    for path in OURS:
        answer = client.get(f"/page/{path.name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(types[path.suffix]), path
        for name in re.findall(r"from \"\./([^\"]+)\"|import\(\"\./([^\"]+)\"\)", path.read_text()):
            assert (FOLDER / "".join(name)).exists(), (path, name)
    assert client.get("/page/three/three.module.min.js").status_code == 200


@pytest.mark.parametrize(
    "path", ["/page/", "/page/no.js", "/page/../page.py", "/page/%2e%2e/page.py", "/page/three/"]
)
def test_nothing_else_is_sent(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_photo_is_upright_small_enough_and_tells_nothing_else(client: TestClient, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    photo = Image.new("RGB", (3000, 1500), (200, 40, 40))
    marks = Image.Exif()
    marks[0x0112] = 6  # the camera was held upright
    marks[0x010F] = "a camera"
    buffer = io.BytesIO()
    photo.save(buffer, "PNG", exif=marks)
    job = submit(spool, content=buffer.getvalue())
    answer = client.get(f"/api/jobs/{job.id}/photo")
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert (shown.format, shown.size) == ("PNG", (512, 1024))
        assert not shown.getexif() and not shown.info.get("exif")
    assert client.get(f"/api/jobs/{submit(spool, content=picture()).id}/photo").status_code == 200
    assert client.get(f"/api/jobs/{submit(spool, content=b'no').id}/photo").status_code == 422
    assert client.get("/api/jobs/01980000-0000-7000-8000-000000000000/photo").status_code == 404
