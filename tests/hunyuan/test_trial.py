"""What `doctor --gpu` does, here on the CPU with tiny weights; and on a GPU where there is one (`make test-gpu`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon import doctor
from daemon.finding import Finding
from daemon.gpu_trial import trials
from tests.support import config as settings_for

pytestmark = pytest.mark.filterwarnings("ignore")


def findings(environ: dict[str, str], tmp_path: Path) -> dict[str, Finding]:
    wanted = {"PROTOSCALE_SPOOL": str(tmp_path / "spool"), "PROTOSCALE_RESERVE": "1M", **environ}
    return {finding.name: finding for finding in doctor.examine(wanted)}


def test_the_trials_work_on_the_cpu(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = trials(settings_for(tmp_path / "spool", **environ), "cpu")
    assert [(trial.name, trial.fine) for trial in found] == [
        ("load", True),
        ("memory", True),
        ("crash", True),
    ], found


@pytest.mark.gpu
def test_the_trials_work_on_a_gpu(tmp_path: Path, environ: dict[str, str]) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU that torch can use here")
    found = trials(settings_for(tmp_path / "spool", **environ), "cuda:0")
    assert all(trial.fine for trial in found), found


def test_doctor_finds_code_and_weights_that_fit(tmp_path: Path, environ: dict[str, str]) -> None:
    finding = findings(environ, tmp_path)["hunyuan"]
    assert finding.verdict == "ok" and "fit each other" in finding.words


def test_doctor_tells_missing_weights_and_the_wrong_repository(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    lost = findings({**environ, "MODEL_PATH": "tencent/Hunyuan3D-2.1"}, tmp_path)["hunyuan"]
    assert lost.verdict == "broken" and "protoscale models pull hunyuan" in lost.words
    (tmp_path / "old" / "hy3dgen").mkdir(parents=True)
    wrong = findings({**environ, "HUNYUAN_PATH": str(tmp_path / "old")}, tmp_path)["hunyuan"]
    assert wrong.verdict == "broken" and "Hunyuan3D-2, " not in wrong.words
    assert "not of Hunyuan3D-2.1" in wrong.words and "git clone" in wrong.words
