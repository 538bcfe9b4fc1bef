"""Where the command line puts results: seen to before the work, and no finished model is ever thrown away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import exits
from daemon.cli.__main__ import main
from daemon.cli.results import folder_for, prepared
from daemon.engines.silhouette.engine import SilhouetteEngine
from daemon.errors import EngineError
from spool import layout, lock
from spool.errors import InvalidRequest
from spool.spool import Spool
from tests.support import picture

Told = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, u2net_home: Path) -> Iterator[Path]:
    """The working directory, with a photo whose name has no extension; its files are all that a command may leave."""
    made = tmp_path / "here"
    made.mkdir()
    (made / "cup").write_bytes(picture())
    monkeypatch.chdir(made)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("PROTOSCALE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("PROTOSCALE_RESERVE", "1M")
    monkeypatch.setenv("U2NET_HOME", str(u2net_home))
    yield made


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def finished(spool: Spool, name: str) -> None:
    """Let every job that waits be done already, with a product."""
    for job_id in spool.waiting("inbox"):
        job = spool.find(job_id).job
        (job.path / layout.MODEL_GLB).write_bytes(name.encode())
        job.path.rename(spool.root / "done" / job_id)


def test_a_photo_without_an_extension_has_its_results_beside_it(here: Path, capsys: Told) -> None:
    assert folder_for(Path("elsewhere/vase.png")) == Path("vase")
    assert main(["make", "cup", "--quality", "draft"]) == exits.OK
    assert capsys.readouterr().out.splitlines() == [f"cup-model/{name}" for name in layout.PRODUCTS]
    assert Path("cup").read_bytes() == picture()


def test_a_photo_is_tried_again_until_it_is_a_model(
    here: Path, capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, tries = SilhouetteEngine.geometry, []

    def stumble(self: SilhouetteEngine, *given: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise EngineError("the device hiccuped")
        return sound(self, *given)

    monkeypatch.setattr(SilhouetteEngine, "geometry", stumble)
    assert main(["make", "cup", "--quality", "draft"]) == exits.OK
    assert Path("cup-model", layout.MODEL_GLB).exists() and len(tries) == 2


def test_without_room_nothing_is_said_to_be_made(
    here: Path, capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROTOSCALE_RESERVE", "900T")
    assert main(["make", "cup", "--quality", "draft"]) == exits.TEMPORARY
    assert "PROTOSCALE_RESERVE" in capsys.readouterr().err
    assert names(here) == ["cup"]


@pytest.mark.parametrize("out", ["cup", "cup/below", "new/folder"])
@pytest.mark.parametrize("command", ["make", "submit"])
def test_where_no_results_can_go_nothing_is_begun(here: Path, command: str, out: str, capsys: Told) -> None:
    photo = "cup" if out.startswith("cup") else "no-such-photo"
    assert main([command, photo, "--out", out]) == exits.USAGE
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and photo in told
    assert names(here) == ["cup"]
    assert not list(Path(os.environ["PROTOSCALE_SPOOL"]).glob("inbox/*"))


def test_what_stays_empty_is_taken_away_and_what_was_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with prepared(tmp_path / "mine" / "a" / "b") as folder:
        assert folder.is_dir()
    assert names(tmp_path) == ["mine"]
    with prepared(tmp_path / "mine" / "a" / "b") as folder:
        (folder / "result").touch()
    assert names(tmp_path) == ["mine", "mine/a", "mine/a/b", "mine/a/b/result"]
    with pytest.raises(InvalidRequest, match="another --out"), prepared(tmp_path / "mine/a/b/result"):
        pass


def test_a_made_model_that_cannot_be_copied_is_kept(here: Path, tmp_path: Path, capsys: Told) -> None:
    (here / "out" / layout.MODEL_GLB).mkdir(parents=True)
    assert main(["make", "cup", "--quality", "draft", "--out", "out"]) == exits.FAILED
    told = capsys.readouterr().err.splitlines()[-1]
    assert "model.glb cannot be written" in told
    kept = Path(told.rpartition(" ")[2])
    assert (kept / layout.MODEL_GLB).read_bytes()[:4] == b"glTF" and tmp_path / "tmp" in kept.parents


def test_a_result_that_cannot_be_copied_does_not_keep_the_others(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    spool = Spool.open(Path(os.environ["PROTOSCALE_SPOOL"]))
    held = lock.take(spool.root)
    (here / "out" / "cup" / layout.MODEL_GLB).mkdir(parents=True)
    (here / "vase.png").write_bytes(picture())
    monkeypatch.setattr("daemon.cli.submit.Vigil", lambda root: finished(spool, "model"))
    assert main(["submit", "cup", "vase.png", "--out", "out"]) == exits.FAILED
    told = capsys.readouterr()
    assert "cup: " in told.err and "model.glb cannot be written" in told.err
    assert (here / "out" / "vase" / layout.MODEL_GLB).read_bytes() == b"model"
    assert all(Path(line).read_bytes() == b"model" for line in told.out.splitlines())
    os.close(held)


def test_a_photos_own_name_in_the_output_folder_is_left_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    spool = Spool.open(Path(os.environ["PROTOSCALE_SPOOL"]))
    held = lock.take(spool.root)
    monkeypatch.setattr("daemon.cli.submit.Vigil", lambda root: finished(spool, "model"))
    assert main(["submit", "cup", "--out", "."]) == exits.OK
    (job_id,) = spool.waiting("done")
    assert capsys.readouterr().out.strip() == f"cup-{job_id[-8:]}/model.glb"
    assert Path("cup").read_bytes() == picture()
    os.close(held)
