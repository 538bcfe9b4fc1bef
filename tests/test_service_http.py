"""The HTTP server as a process: with the service, alone, killed, and fed slowly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from spool.spool import Spool
from tests.http.live import answers, send, server
from tests.service import ROOT, alive, free_port, running
from tests.support import picture, until

pytestmark = pytest.mark.service
COFFEE = ROOT / "examples" / "coffee.png"


def test_the_two_step_flow_through_the_whole_service(tmp_path: Path, u2net_home: Path) -> None:
    with running(tmp_path / "spool", u2net_home) as service:
        until(lambda: answers(service.port))
        with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as client:
            job = send(service.port, COFFEE.read_bytes(), quality="draft")["job_id"]

            def completed() -> bool:
                told = client.get(f"/api/jobs/{job}/status").json()
                assert told["status"] != "failed", told
                return bool(told["status"] == "completed")

            assert client.post(f"/api/jobs/{job}/generate-multiangle").status_code == 202
            until(completed, 60)
            assert client.get(f"/api/jobs/{job}/result/view_0.png").content[:4] == b"\x89PNG"
            assert client.get(f"/api/jobs/{job}/result/model.glb").status_code == 404
            assert client.post(f"/api/jobs/{job}/generate-3d").status_code == 202
            until(completed, 60)
            assert client.get(f"/api/jobs/{job}/result/model.glb").content[:4] == b"glTF"
            health = client.get("/health").json()
            assert (health["status"], health["engine"]) == ("ok", "silhouette")
            assert [slot["name"] for slot in health["devices"]] == ["texture-cpu", "geometry-cpu"]
            devices = "/api/jobs/metrics/gpu"
            until(lambda: sum(slot["jobs_done"] for slot in client.get(devices).json()["devices"]) >= 3)

            # Kill the server in the middle: it comes back, and what was accepted goes on.
            job = send(service.port, picture(), quality="draft", start="true")["job_id"]
            web = service.web()
            web.kill()
            until(lambda: answers(service.port))
            until(completed, 60)
            web = service.web()
        assert service.stop() == 0
        assert not alive(web)


def test_uploads_are_streamed_to_disk(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path / "spool", port, environ={"PROTOSCALE_MAX_UPLOAD": "300M"}) as process:
        send(port, picture())
        before = psutil.Process(process.pid).memory_info().rss
        send(port, picture() + bytes(100 << 20))
        after = psutil.Process(process.pid).memory_info().rss
    assert after - before < 30 << 20


def test_a_client_that_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    port = free_port()
    spool = Spool(tmp_path / "spool")
    head = (
        b"POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 5000000\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    )
    with server(spool.root, port):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head + bytes(2_000_000))
            until(lambda: list((spool.root / "tmp").glob("*/input.part")))
        until(lambda: not list((spool.root / "tmp").iterdir()))
        assert spool.waiting("held") == []


def test_a_slow_client_is_not_noticed_by_others(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path / "spool", port):
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for connection in slow:
            connection.sendall(b"POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n")
        assert send(port, picture())["status"] == "pending"
        for connection in slow:
            connection.close()


def test_two_servers_on_one_spool(tmp_path: Path) -> None:
    one, other = free_port(), free_port()
    with server(tmp_path / "spool", one), server(tmp_path / "spool", other):
        job = send(one, picture())["job_id"]
        told = httpx.post(f"http://127.0.0.1:{other}/api/jobs/{job}/generate-3d", timeout=60).json()
        assert told["status"] == "pending"
        assert httpx.get(f"http://127.0.0.1:{one}/api/jobs", timeout=60).json()[0]["stage"] == "cutout"


def test_a_port_in_use_is_a_configuration_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with server(tmp_path / "spool", port, wait=False, stderr=subprocess.PIPE) as process:
            _, told = process.communicate(timeout=30)
            assert process.returncode == 78
            assert b"PROTOSCALE_PORT" in told


def test_a_wrong_setting_is_a_configuration_error(tmp_path: Path) -> None:
    environ = {"PROTOSCALE_MAX_UPLOAD": "plenty"}
    with server(
        tmp_path / "spool", free_port(), wait=False, environ=environ, stderr=subprocess.PIPE
    ) as process:
        _, told = process.communicate(timeout=30)
        assert process.returncode == 78
        assert b"PROTOSCALE_MAX_UPLOAD='plenty'" in told


def test_a_socket_passed_by_systemd_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # LISTEN_PID must be the server's own id, so the process that becomes the server sets it.
        code = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); me = str(os.getpid());"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=me);"
            "os.execv(sys.executable, [sys.executable, '-m', 'httpd'])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "PROTOSCALE_SPOOL": str(tmp_path / "spool"),
                "PROTOSCALE_PORT": "1",
            },
        )
        try:
            until(lambda: answers(port))
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) in (0, -signal.SIGTERM)
        finally:
            process.kill()
            process.wait()


def test_the_server_dies_with_its_parent(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import subprocess, sys, os, time\n"
        "subprocess.Popen([sys.executable, '-m', 'httpd', '--parent', str(os.getpid())])\n"
        "time.sleep(60)"
    )
    environ = {
        "PATH": os.environ["PATH"],
        "PROTOSCALE_SPOOL": str(tmp_path / "spool"),
        "PROTOSCALE_PORT": str(port),
    }
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environ)
    until(lambda: answers(port))
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    until(lambda: not alive(child))


def stands_still(process: psutil.Process) -> bool:
    """Whether it used next to no CPU for half a second: what its start and its first answer left to do is done."""
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    until(lambda: time.monotonic() - began > 0.5)
    return sum(process.cpu_times()[:2]) - before <= 0.01


def test_an_idle_server_is_small_and_still(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path / "spool", port) as process:
        idle = psutil.Process(process.pid)
        until(lambda: stands_still(idle), 60)
        before = sum(idle.cpu_times()[:2])
        time.sleep(2)  # this is the idleness that is measured
        switches = idle.num_ctx_switches().voluntary
        assert sum(idle.cpu_times()[:2]) - before <= 0.05
        time.sleep(2)
        assert idle.num_ctx_switches().voluntary - switches <= 8  # uvicorn's own loop would wake 20 times
        assert idle.memory_info().rss < 60 << 20
