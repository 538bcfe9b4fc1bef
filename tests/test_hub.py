"""Fetching Hunyuan3D-2.1's weights, from a small server on this machine that answers as the hub does."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from daemon import hub
from daemon.cli.__main__ import main
from daemon.engines.hunyuan.weights import DINO, PAINT, REQUIRED, SHAPE
from daemon.errors import EngineUnavailable
from daemon.hub import Repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = bytes(range(256)) * 4096
FILES = {
    "tencent/Hunyuan3D-2.1": {
        "hunyuan3d-dit-v2-1/config.yaml": b"model: {}\n",
        "hunyuan3d-dit-v2-1/model.fp16.ckpt": LARGE,
        "hunyuan3d-paintpbr-v2-1/unet/config.json": b"{}",
        "hunyuan3d-paintpbr-v2-1/text_encoder/model.safetensors": b"never asked for",
        "README.md": b"nor this",
    },
    "facebook/dinov2-giant": {"config.json": b"{}", "pytorch_model.bin": b"nor this"},
}
REPOSITORIES = (
    Repository("tencent/Hunyuan3D-2.1", COMMIT, "hunyuan3d-dit-v2-1/", ""),
    Repository("tencent/Hunyuan3D-2.1", COMMIT, "hunyuan3d-paintpbr-v2-1/", "", skip=("text_encoder/",)),
    Repository("facebook/dinov2-giant", COMMIT, "", "dinov2-giant", skip=("pytorch_model.bin",)),
)


class Hub(ThreadingHTTPServer):
    """Answers for `FILES`; `cut` bytes into a large file it breaks off, once; `spoil` files come wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.cut = 0
        self.spoil: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_GET(self) -> None:
        told = re.fullmatch(r"/api/models/(.+?/.+?)(?:/revision/(\w+))?", self.path.partition("?")[0])
        if told:
            self._info(told[1])
        else:
            self._file(body=True)

    def _info(self, repository: str) -> None:
        siblings = []
        for name, content in FILES[repository].items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
            if not name.endswith((".json", ".yaml", ".md")):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        body = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
        self._head(200, len(body), {"Content-Type": "application/json"})
        self.wfile.write(body)

    def _file(self, *, body: bool) -> None:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        _, _, name = rest.partition("/")
        content = FILES.get(repository, {}).get(name)
        if content is None:
            return self._head(404, 0, {})
        digest = hashlib.sha256(content).hexdigest()
        if name in self.server.spoil:
            content = content[:-1] + b"?"
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if body:
            self.server.asked.append((name, wanted))
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(206 if wanted else 200, len(content) - start, headers)
        if not body:
            return None
        if self.server.cut and len(content) > self.server.cut:
            self.wfile.write(content[start : start + self.server.cut])
            self.server.cut = 0
            self.close_connection = True
            return None
        self.wfile.write(content[start:])
        return None

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    made = Hub()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def pull(folder: Path, server: Hub, told: list[str] | None = None) -> Path:
    return hub.pull(
        folder,
        (told if told is not None else []).append,
        endpoint=server.url,
        upscaler_url=f"{server.url}/nothing.pth",
        repositories=REPOSITORIES,
    )


def test_what_is_needed_comes_and_is_verified(tmp_path: Path, server: Hub) -> None:
    told: list[str] = []
    pull(tmp_path, server, told)
    assert (tmp_path / "hunyuan3d-dit-v2-1" / "model.fp16.ckpt").read_bytes() == LARGE
    assert (tmp_path / "dinov2-giant" / "config.json").read_bytes() == b"{}"
    assert not (tmp_path / "hunyuan3d-paintpbr-v2-1" / "text_encoder").exists()
    assert not (tmp_path / "dinov2-giant" / "pytorch_model.bin").exists()
    assert "4 files" in told[-1]
    assert any("textures are made without it" in line for line in told)
    states = {state.path.name: state for state in hub.inspect(tmp_path)}
    assert states["model.fp16.ckpt"].verified
    assert not states["RealESRGAN_x4plus.pth"].present
    record = json.loads((tmp_path / "pulled.json").read_text())["files"]
    assert {item["revision"] for item in record} == {COMMIT}


def test_what_is_there_is_not_fetched_again(tmp_path: Path, server: Hub) -> None:
    pull(tmp_path, server)
    server.asked.clear()
    pull(tmp_path, server)
    assert [name for name, _ in server.asked if name] == []


def test_a_damaged_file_is_seen_and_fetched_again(tmp_path: Path, server: Hub) -> None:
    pull(tmp_path, server)
    file = tmp_path / "hunyuan3d-dit-v2-1" / "model.fp16.ckpt"
    file.write_bytes(LARGE[:-1] + b"!")
    assert [state.verified for state in hub.inspect(tmp_path) if state.path == file] == [False]
    pull(tmp_path, server)
    assert file.read_bytes() == LARGE


def test_a_fetch_that_broke_off_goes_on(tmp_path: Path, server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client keeps whole chunks, which are ten times as large as this file.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)
    server.cut = 300_000
    pull(tmp_path, server)
    assert (tmp_path / "hunyuan3d-dit-v2-1" / "model.fp16.ckpt").read_bytes() == LARGE
    ranges = [wanted for name, wanted in server.asked if name.endswith(".ckpt")]
    assert ranges[0] is None and ranges[-1] == f"bytes={300_000 // (1 << 16) * (1 << 16)}-"


def test_wrong_content_is_refused(tmp_path: Path, server: Hub) -> None:
    server.spoil = {"hunyuan3d-dit-v2-1/model.fp16.ckpt"}
    with pytest.raises(EngineUnavailable, match="wrong content"):
        pull(tmp_path, server)
    assert not (tmp_path / "hunyuan3d-dit-v2-1" / "model.fp16.ckpt").exists()


def test_the_disk_is_looked_at_first(tmp_path: Path, server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.hub.SLACK", 1 << 60)
    with pytest.raises(EngineUnavailable, match="HUNYUAN_CKPT_DIR"):
        pull(tmp_path, server)
    assert not server.asked


def test_offline_is_respected(tmp_path: Path, server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EngineUnavailable, match="HF_HUB_OFFLINE"):
        pull(tmp_path, server)
    assert not server.asked


def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path, server: Hub) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(EngineUnavailable, match="does not answer"):
        pull(tmp_path, server)


def test_nothing_comes_without_the_licence(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(hub.LicenceNotAccepted, match="--accept-license"):
        hub.accept(tmp_path / "w", lambda: False, told.append)
    assert "European Union" in told[0]
    hub.accept(tmp_path / "w", lambda: True, told.append)
    assert json.loads((tmp_path / "w" / hub.ACCEPTED).read_text())["accepted_at"]
    hub.accept(tmp_path / "w", lambda: pytest.fail("asked twice"), told.append)


def test_a_script_has_to_say_that_it_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUNYUAN_CKPT_DIR", str(tmp_path / "weights"))
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))  # a pipe is not a person
    assert main(["models", "pull", "hunyuan"]) != 0
    said = capsys.readouterr().err
    assert "South Korea" in said and "--accept-license" in said
    assert not (tmp_path / "weights").exists()


def test_ls_shows_what_is_there_and_what_is_not(
    tmp_path: Path, server: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUNYUAN_CKPT_DIR", str(tmp_path))
    assert main(["models", "ls"]) == 0
    assert f"not here  {tmp_path}" in capsys.readouterr().out
    pull(tmp_path, server)
    (tmp_path / "dinov2-giant" / "config.json").write_bytes(b"{")
    assert main(["models", "ls", "--json"]) == 0
    rows = {Path(row["path"]).name: row for row in json.loads(capsys.readouterr().out)}
    assert rows["model.fp16.ckpt"]["verified"] is True
    assert (rows["config.json"]["present"], rows["config.json"]["verified"]) == (True, False)


def test_ls_shows_what_the_engine_finds_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = holding(tmp_path / "weights", SHAPE)
    monkeypatch.setenv("HUNYUAN_CKPT_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("MODEL_PATH", str(folder))
    assert main(["models", "ls"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("hunyuan ")]
    assert line.split()[3:] == ["here", str(folder / SHAPE)]
    assert main(["models", "ls", "--json"]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["name"] == "hunyuan"]
    assert (row["present"], row["verified"]) == (True, None)


def test_nothing_is_pulled_where_model_path_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUNYUAN_CKPT_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("MODEL_PATH", str(holding(tmp_path / "weights", SHAPE)))
    assert main(["models", "pull", "hunyuan", "--accept-license"]) == 78
    assert f"{PAINT} is in none of" in capsys.readouterr().err
    holding(tmp_path / "weights", PAINT, DINO)
    assert main(["models", "pull", "hunyuan", "--accept-license"]) == 0
    assert "nothing to pull" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_a_model_path_that_is_nothing_is_told(tmp_path: Path, server: Hub) -> None:
    with pytest.raises(EngineUnavailable, match="neither a folder that is here nor a name on the hub"):
        hub.pull(tmp_path, print, model="/no/such/weights", endpoint=server.url, repositories=REPOSITORIES)


@pytest.mark.parametrize(
    ("variable", "pull"), [("U2NET_HOME", ["u2netp"]), ("HUNYUAN_CKPT_DIR", ["hunyuan", "--accept-license"])]
)
def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path,
    server: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    pull: list[str],
) -> None:
    (tmp_path / "file").touch()  # what root may not write into either
    monkeypatch.setenv(variable, str(tmp_path / "file" / "below"))

    def came(url: str, target: Path, *_: object) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr("daemon.models.from_web", came)
    assert main(["models", "pull", *pull]) == 78
    told = capsys.readouterr().err.splitlines()[-1]
    assert "Not a directory" in told and variable in told


def test_the_names_that_are_known_include_the_gpu_engines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "hunyan"]) == 78
    assert "isnet-general-use, hunyuan." in capsys.readouterr().err


def holding(folder: Path, *parts: str) -> Path:
    """A folder with every file that is required of some parts of the weights."""
    for part in parts:
        for name in REQUIRED[part]:
            (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / part / name).write_bytes(b"weights")
    return folder
