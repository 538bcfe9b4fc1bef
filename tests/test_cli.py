"""The command line: what it prints, what it returns, and that it teaches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli import exits
from daemon.cli.__main__ import main
from daemon.cli.package import NotOurs, check_ours
from daemon.cli.parser import parser
from spool import layout, lock
from spool.ids import new_id
from spool.job import Request
from spool.spool import Spool
from tests.service import ROOT, running
from tests.support import picture, submit

COMMANDS = (
    "run",
    "serve",
    "submit",
    "make",
    "status",
    "ls",
    "cancel",
    "retry",
    "rm",
    "queue",
    "pause",
    "resume",
    "prioritise",
    "models",
    "doctor",
    "install-systemd",
)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setenv("PROTOSCALE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("PROTOSCALE_RESERVE", "1M")
    return Spool.open(tmp_path / "spool")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my cup.png"
    path.write_bytes(picture())
    return path


@pytest.fixture
def somebody_works(spool: Spool) -> Iterator[None]:
    held = lock.take(spool.root)
    yield
    os.close(held)


def test_a_name_is_told_on_its_line(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    name = "cup\r\n0190b5a0  done\x1b[2J\x9b31m\u202egpj.png"
    draft = spool.draft(Request.new(source="http", name=name, suffix=".png"))
    draft.input.write_bytes(picture())
    job = draft.publish(layout.INBOX)
    for argv in (["ls"], ["status", job.id], ["queue"]):
        main(argv)
        told = capsys.readouterr().out
        assert "cup\\r\\n0190b5a0  done\\x1b[2J\\x9b31m\\u202egpj.png" in told
        assert all(line.isprintable() for line in told.split("\n"))
    main(["ls", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["name"] == name


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(f"\n    {command}" in told for command in COMMANDS)
    assert all(meaning in " ".join(told.split()) for meaning in exits.MEANING.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"example:\n  protoscale {command}" in capsys.readouterr().out
    assert parser().parse_args is not None


@pytest.mark.parametrize(
    "argv", [[], ["paint"], ["submit"], ["ls", "--limit", "0"], ["submit", "a", "--quality", "x"]]
)
def test_what_is_not_understood_is_a_usage_error(argv: list[str], spool: Spool) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == exits.USAGE


def test_submit_without_a_service_queues_and_says_so(
    spool: Spool, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", str(photo), "--seed", "3", "--quality", "draft"]) == exits.NO_SERVICE
    assert "queued and safe" in capsys.readouterr().err
    (job_id,) = spool.waiting("inbox")
    request = spool.find(job_id).job.request
    assert (request.name, request.seed, request.quality, request.source) == ("my cup.png", 3, "draft", "cli")
    assert photo.exists()


def test_submit_without_waiting_prints_ids(
    spool: Spool, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "--no-wait", str(photo), str(photo)]) == exits.OK
    assert capsys.readouterr().out.split() == spool.waiting("inbox")
    assert (
        main(["submit", "--no-wait", "--json", "--keep-background", "--allow-lower", str(photo)]) == exits.OK
    )
    (told,) = json.loads(capsys.readouterr().out)
    request = spool.find(told["job_id"]).job.request
    assert request.allow_lower and not request.remove_bg


def test_submit_refuses_what_cannot_become_a_model(
    spool: Spool, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("hello")
    assert main(["submit", str(tmp_path / "text.png")]) == exits.USAGE
    assert main(["submit", str(tmp_path / "missing.png")]) == exits.USAGE
    assert main(["submit", str(photo), "--seed", "-1"]) == exits.USAGE
    assert main(["submit", str(photo), "--no-wait", "--out", str(tmp_path)]) == exits.USAGE
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4 and all(line.startswith("protoscale: ") for line in told)
    assert spool.waiting("inbox") == [] and list((spool.root / "tmp").iterdir()) == []


def test_submit_is_refused_on_a_full_disk(
    spool: Spool, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROTOSCALE_RESERVE", "900000T")
    assert main(["submit", str(photo)]) == exits.TEMPORARY


def test_a_job_is_named_by_the_end_of_its_id(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [submit(spool).id for _ in range(3)]
    assert main(["status", jobs[1][-8:]]) == exits.OK
    told = capsys.readouterr().out
    assert jobs[1] in told and "number 2 of those that wait" in told
    assert main(["status", jobs[0], "--json"]) == exits.OK
    assert json.loads(capsys.readouterr().out)["job_id"] == jobs[0]
    assert main(["status", "zzzz"]) == exits.NO_SUCH_JOB
    assert main(["status", new_id()]) == exits.NO_SUCH_JOB
    shared = next((end for end in "0123456789abcdef" if sum(job.endswith(end) for job in jobs) > 1), None)
    if shared:
        assert main(["status", shared]) == exits.USAGE


def test_ls_shows_the_newest_first(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == exits.OK
    assert "inbox" in capsys.readouterr().out
    jobs = [submit(spool, folder).id for folder in ("done", "failed", "inbox")]
    assert main(["ls"]) == exits.OK
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [job[-8:] for job in reversed(jobs)]
    assert main(["ls", "--json", "--limit", "1"]) == exits.OK
    assert [row["job_id"] for row in json.loads(capsys.readouterr().out)] == [jobs[2]]


def test_cancel_retry_and_rm(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    job = submit(spool).id
    assert main(["rm", job]) == exits.WRONG_STATE
    assert main(["cancel", job]) == exits.OK
    assert main(["retry", job]) == exits.OK
    assert spool.find(job).folder == "inbox"
    assert main(["retry", job]) == exits.WRONG_STATE
    assert main(["cancel", job]) == exits.OK
    assert main(["rm", job]) == exits.OK
    assert main(["rm", job]) == exits.NO_SUCH_JOB


def test_status_of_the_service(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    submit(spool)
    assert main(["status"]) == exits.NO_SERVICE
    assert "inbox 1" in capsys.readouterr().out
    assert main(["--spool", str(spool.root), "status", "--json"]) == exits.NO_SERVICE
    assert json.loads(capsys.readouterr().out) == {
        "supervisor": None,
        "jobs": {"held": 0, "inbox": 1, "geometry": 0, "texture": 0, "done": 0, "failed": 0, "running": 0},
        "paused": None,
    }


def test_a_wrong_setting_is_one_line_and_a_code(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROTOSCALE_ATTEMPTS", "many")
    assert main(["run"]) == exits.CONFIG
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("somebody_works")
def test_a_second_supervisor_is_refused(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--no-http"]) == exits.CONFIG
    assert "another supervisor" in capsys.readouterr().err


def test_make_needs_no_service(
    spool: Spool, photo: Path, tmp_path: Path, u2net_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("U2NET_HOME", str(u2net_home))
    out = tmp_path / "out"
    run = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "make", str(photo), "--quality", "draft", "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert [Path(line).name for line in run.stdout.splitlines()] == list(layout.PRODUCTS)
    assert (out / "model.glb").read_bytes()[:4] == b"glTF"
    assert json.loads((out / "analysis.json").read_text())["watertight"]
    photo.write_bytes(picture()[:300])
    failed = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "make", str(photo)], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert failed.returncode == exits.FAILED
    assert "protoscale: " in failed.stderr and "Traceback" not in failed.stderr


@pytest.mark.service
def test_submit_waits_and_fetches_the_results(
    tmp_path: Path,
    photo: Path,
    u2net_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with running(tmp_path / "spool", u2net_home, "--no-http") as service:
        monkeypatch.setenv("PROTOSCALE_SPOOL", str(service.spool.root))
        out = tmp_path / "out"
        assert main(["submit", str(photo), "--quality", "draft", "--out", str(out)]) == exits.OK
        told = capsys.readouterr()
        assert told.out.strip() == str(out / "my cup" / "model.glb")
        assert (out / "my cup" / "view_3.png").exists()
        assert "100 % done" in told.err
        photo.write_bytes(picture()[:300])
        assert main(["submit", str(photo), "--json"]) == exits.FAILED
        assert json.loads(capsys.readouterr().out)[0]["status"] == "failed"
        assert main(["status"]) == exits.OK
        assert "texture-cpu" in capsys.readouterr().out


@pytest.mark.parametrize(
    "locale", [{"PYTHONIOENCODING": "utf-8:strict"}, {"PYTHONIOENCODING": "ascii:strict"}]
)
def test_a_name_that_the_terminal_cannot_show_ends_nothing(
    spool: Spool, tmp_path: Path, u2net_home: Path, locale: dict[str, str]
) -> None:
    photo = os.fsencode(tmp_path) + b"/caf\xe9 \xc3\xa9.png"
    Path(os.fsdecode(photo)).write_bytes(picture())
    environ = {**os.environ, **locale, "U2NET_HOME": str(u2net_home), "PYTHONPATH": str(ROOT)}

    def said(*argv: bytes) -> bytes:
        command: list[str | bytes] = [sys.executable, "-m", "daemon.cli", *argv]
        return subprocess.run(command, capture_output=True, env=environ, cwd=tmp_path, check=True).stdout

    said(b"submit", b"--no-wait", photo)
    assert b"caf" in said(b"ls") and b"caf" in said(b"queue")
    *_, last = said(b"make", b"--quality", b"draft", photo).splitlines()
    if "utf-8" in locale["PYTHONIOENCODING"]:
        assert Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + last)).is_file()


def test_a_strangers_daemon_package_is_told(tmp_path: Path) -> None:
    (tmp_path / "httpd").mkdir()
    (tmp_path / "httpd" / "__init__.py").write_text("")
    code = "from daemon.cli.__main__ import main; import sys; sys.exit(main(['ls']))"
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "PROTOSCALE_SPOOL": str(tmp_path / "s")}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environ
    )
    assert run.returncode == exits.CONFIG
    assert "python-daemon" in run.stderr
    check_ours()
    assert issubclass(NotOurs, Exception)
