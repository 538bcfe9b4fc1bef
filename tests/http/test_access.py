"""Keys, roles, hosts, origins, and how much one caller may ask for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from daemon.cli.__main__ import main
from httpd.access import NoKeys, needs_key
from httpd.app import create_app
from httpd.config import HttpConfig
from httpd.ledger import Ledger
from spool import keys
from spool.errors import InvalidRequest
from spool.settings import WrongSetting, read
from spool.spool import Spool
from tests.client import client_of, upload
from tests.crash.shim import Call, Shim
from tests.http.live import server
from tests.service import free_port
from tests.support import without_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Spool.open(tmp_path / "spool").root


def guarded(root: Path, **environ: str) -> TestClient:
    """A server that demands keys."""
    return client_of(root, PROTOSCALE_REQUIRE_KEY="true", **environ)


def stranger(root: Path, address: str = "203.0.113.9", **environ: str) -> TestClient:
    """A client from elsewhere, of a server that demands no keys."""
    config = read(HttpConfig, {"PROTOSCALE_SPOOL": str(root), "PROTOSCALE_RESERVE": "1M", **environ})
    return TestClient(create_app(config), base_url="http://127.0.0.1", client=(address, 50000))


def test_a_key_is_told_once_and_kept_hashed(root: Path) -> None:
    token = keys.create(root, "web", "submit")
    found = keys.check(root, token)
    assert found and (found.name, found.role) == ("web", "submit")
    kept = root / "keys" / "web.json"
    secret = token.removeprefix("psk_web_")
    assert len(secret) > 30 and secret not in kept.read_text()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for wrong in (
        "",
        "psk_web_x",
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        "psk_../../x_" + "a" * 43,
    ):
        assert keys.check(root, wrong) is None
    keys.revoke(root, "web")
    assert keys.check(root, token) is None


def test_a_revoked_key_stays_revoked_when_power_fails(root: Path) -> None:
    keys.create(root, "web", "submit")
    fsynced: list[str] = []

    class Listener:
        def before(self, call: Call) -> None:
            fsynced.extend([Path(call.path).name] if call.name == "fsync" else [])

        def after(self, call: Call) -> None:
            pass

    with Shim(root, Listener()).installed():
        keys.revoke(root, "web")
    assert fsynced == ["keys"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": "web"}'])
def test_a_damaged_key_opens_nothing_and_can_be_revoked(root: Path, content: bytes) -> None:
    token, other = keys.create(root, "web", "submit"), keys.create(root, "other", "read")
    (root / "keys" / "web.json").write_bytes(content)
    assert keys.check(root, token) is None
    assert keys.check(root, other)
    assert [key.name for key in keys.listing(root)] == ["other"]
    keys.revoke(root, "web")


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to be somebody else")
def test_who_is_not_root_makes_keys_in_a_spool_of_another() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Spool.open(Path(name) / "spool").root
        root.chmod(0o777)
        with without_root(Path(name)):
            assert keys.check(root, keys.create(root, "web", "submit"))


def test_the_rights_that_somebody_gave_the_folder_of_keys_stay(root: Path) -> None:
    keys.create(root, "web", "submit")
    (root / "keys").chmod(0o750)
    keys.create(root, "other", "submit")
    assert (root / "keys").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    ("name", "role"), [("../x", "read"), ("Web", "read"), ("", "read"), ("web", "owner")]
)
def test_names_and_roles_are_checked(root: Path, name: str, role: str) -> None:
    with pytest.raises(InvalidRequest):
        keys.create(root, name, role)


def test_the_command_line_makes_lists_and_revokes(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROTOSCALE_SPOOL", "")  # `--spool` sets it: not for the tests that follow
    at = ["--spool", str(root), "keys"]
    assert main([*at, "create", "web", "--role", "read"]) == 0
    token = capsys.readouterr().out.strip()
    assert keys.check(root, token)
    assert main([*at, "create", "web"]) == 2
    assert main([*at, "ls", "--json"]) == 0
    told = capsys.readouterr().out
    assert [(row["name"], row["role"]) for row in json.loads(told)] == [("web", "read")]
    assert token not in told
    assert main([*at, "revoke", "web"]) == 0
    assert main([*at, "revoke", "web"]) == 2
    assert keys.check(root, token) is None


@pytest.mark.parametrize("header", ["X-API-Key: {}", "Authorization: Bearer {}", "authorization: bearer {}"])
def test_a_role_may_do_what_it_may(root: Path, header: str) -> None:
    client = guarded(root)
    name, _, form = header.partition(": ")
    sent = {role: {name: form.format(keys.create(root, role, role))} for role in keys.ROLES}
    for path in ("/", "/health"):
        assert client.get(path).status_code == 200
    answer = client.get("/api/jobs")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")

    def send(role: str) -> Any:
        from tests.support import picture

        return client.post("/api/upload", files={"file": ("a.png", picture())}, headers=sent[role])

    assert client.get("/api/jobs", headers=sent["read"]).status_code == 200
    assert send("read").status_code == 403
    mine, other = send("submit").json()["job_id"], send("admin").json()["job_id"]
    assert client.delete(f"/api/jobs/{mine}", headers=sent["read"]).status_code == 403
    assert client.delete(f"/api/jobs/{mine}", headers=sent["submit"]).status_code == 204
    assert client.delete(f"/api/jobs/{other}", headers=sent["submit"]).status_code == 403
    assert client.delete(f"/api/jobs/{other}", headers=sent["admin"]).status_code == 204
    keys.revoke(root, "read")
    assert client.get("/api/jobs", headers=sent["read"]).status_code == 401


def test_a_wrong_key_is_refused_even_where_none_is_needed(root: Path) -> None:
    client = client_of(root)
    assert client.get("/api/jobs").status_code == 200
    assert client.get("/api/jobs", headers={"x-api-key": "nonsense"}).status_code == 401


def test_a_bind_that_others_reach_needs_keys(root: Path) -> None:
    def needed(host: str, **environ: str) -> bool:
        config = read(HttpConfig, {"PROTOSCALE_SPOOL": str(root), **environ})
        with socket.create_server((host, 0)) as listener:
            return needs_key(config, listener)

    assert needed("127.0.0.1") is False
    assert needed("0.0.0.0", PROTOSCALE_REQUIRE_KEY="false") is False
    with pytest.raises(NoKeys, match="keys create"):
        needed("0.0.0.0")
    with pytest.raises(NoKeys):
        needed("127.0.0.1", PROTOSCALE_REQUIRE_KEY="true")
    keys.create(root, "web", "submit")
    assert needed("0.0.0.0") is True
    assert needed("127.0.0.1") is False


@pytest.mark.service
def test_the_server_does_not_start_open_to_a_network(tmp_path: Path) -> None:
    environ = {"PROTOSCALE_HOST": "0.0.0.0"}
    with server(
        tmp_path / "spool", free_port(), wait=False, environ=environ, stderr=subprocess.PIPE
    ) as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 78
    assert b"protoscale keys create" in told


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:8077", 200),
        ("127.0.0.1", 200),
        ("[::1]:8077", 200),
        ("192.0.2.7", 200),
        (socket.gethostname(), 200),
        ("models.example", 200),
        ("a.lab.example:80", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("lab.example.evil", 400),
        ("[", 400),
    ],
)
def test_only_the_servers_own_names_are_answered(root: Path, host: str, code: int) -> None:
    client = client_of(root, PROTOSCALE_ALLOWED_HOSTS="models.example, *.lab.example")
    assert client.get("/health", headers={"host": host}).status_code == code


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("https://app.example", 201),
        ("http://127.0.0.1:8077", 201),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:9999", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_strangers_may_not_post(root: Path, origin: str, code: int) -> None:
    client = client_of(root, CORS_ORIGINS="https://app.example")
    client.headers["origin"] = origin
    assert upload(client).status_code == code
    assert client.get("/health").status_code == 200


def test_uploads_a_minute_are_counted_per_caller(root: Path) -> None:
    client = stranger(root, PROTOSCALE_CLIENT_UPLOADS="2")
    assert [upload(client).status_code for _ in range(2)] == [201, 201]
    answer = upload(client)
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 60
    client.headers["x-api-key"] = keys.create(root, "web", "submit")
    assert upload(client).status_code == 201
    own = client_of(root, PROTOSCALE_CLIENT_UPLOADS="1")
    own_machine = TestClient(own.app, base_url="http://127.0.0.1", client=("127.0.0.1", 1))
    assert [upload(own_machine).status_code for _ in range(3)] == [201] * 3


def test_bytes_a_minute_are_counted(root: Path) -> None:
    answer = upload(stranger(root, PROTOSCALE_CLIENT_BYTES="100"))
    assert (answer.status_code, "100 bytes of uploads a minute" in answer.json()["detail"]) == (429, True)


def test_a_minute_passes(root: Path) -> None:
    from httpd.access import Caller

    config = read(HttpConfig, {"PROTOSCALE_SPOOL": str(root), "PROTOSCALE_CLIENT_UPLOADS": "1"})
    now = [100.0]
    ledger, caller = Ledger(lambda: now[0]), Caller("192.0.2.1", "admin")
    ledger.admit(caller, 10, config).end()
    now[0] = 159.0
    with pytest.raises(Exception, match="uploads a minute"):
        ledger.admit(caller, 10, config)
    now[0] = 161.0
    ledger.admit(caller, 10, config)


def test_unfinished_jobs_are_counted_per_caller_and_in_all(root: Path) -> None:
    client = stranger(root, PROTOSCALE_CLIENT_QUEUE="2", PROTOSCALE_CLIENT_UPLOADS="0")
    jobs = [upload(client).json()["job_id"] for _ in range(2)]
    answer = upload(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
    other = stranger(root, "203.0.113.10", PROTOSCALE_CLIENT_QUEUE="2")
    assert upload(other).status_code == 201
    assert client.delete(f"/api/jobs/{jobs[0]}").status_code == 204
    assert upload(client, start="true").status_code == 201
    full = client_of(root, PROTOSCALE_MAX_QUEUE="1")
    answer = upload(full)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert full.post(f"/api/jobs/{jobs[1]}/generate-3d").status_code == 503
    assert list((root / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROTOSCALE_REQUIRE_KEY", "maybe"),
        ("PROTOSCALE_ALLOWED_HOSTS", "http://x"),
        ("PROTOSCALE_MAX_QUEUE", "-1"),
        ("PROTOSCALE_CLIENT_BYTES", "lots"),
    ],
)
def test_wrong_settings_are_named(root: Path, name: str, value: str) -> None:
    with pytest.raises(WrongSetting, match=name):
        read(HttpConfig, {"PROTOSCALE_SPOOL": str(root), name: value})


def test_requests_from_before_these_fields_are_readable(root: Path) -> None:
    client = client_of(root)
    job = upload(client).json()["job_id"]
    path = root / "held" / job / "request.json"
    value = json.loads(path.read_text())
    del value["client"], value["callback_url"], value["allow_lower"]
    path.write_text(json.dumps(value))
    assert client.get(f"/api/jobs/{job}").status_code == 200
