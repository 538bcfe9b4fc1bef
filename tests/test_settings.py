"""Settings are truthful: a wrong value stops the process with words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config import Config
from daemon.devices import posts, present
from daemon.errors import EngineUnavailable
from spool.room import room_left
from spool.settings import WrongSetting, read


def test_the_defaults_are_what_the_design_says() -> None:
    config = read(Config, {"HOME": "/home/x"})
    assert (config.rembg_model, config.idle_timeout, config.attempts) == ("u2net", 480.0, 3)


@pytest.mark.parametrize(
    ("environ", "ends"),
    [
        ({"PROTOSCALE_SPOOL": "/srv/s"}, "/srv/s"),
        ({"STATE_DIRECTORY": "/var/lib/protoscale"}, "/var/lib/protoscale/spool"),
        ({"STATE_DIRECTORY": "/a:/b"}, "/a/spool"),
        ({"XDG_STATE_HOME": "/x"}, "/x/protoscale/spool"),
        ({"PROTOSCALE_SPOOL": ""}, ".local/state/protoscale/spool"),
    ],
)
def test_where_the_spool_is(environ: dict[str, str], ends: str) -> None:
    assert str(read(Config, environ).spool).endswith(ends)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PROTOSCALE_RESERVE", "lots"),
        ("PROTOSCALE_RESERVE", "-1"),
        ("ENGINE", "magic"),
        ("GEOMETRY_DEVICE", "gpu"),
        ("TEXTURE_DEVICE", "cuda:"),
        ("MODEL_IDLE_TIMEOUT", "soon"),
        ("MODEL_IDLE_TIMEOUT", "nan"),
        ("PROTOSCALE_ATTEMPTS", "0"),
        ("PROTOSCALE_ATTEMPTS", "2.5"),
        ("PROTOSCALE_HTTP", "perhaps"),
        ("REMBG_MODEL", "u3net"),
        ("PROTOSCALE_QUALITY", "best"),
        ("PROTOSCALE_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_names_the_variable_the_value_and_what_is_accepted(variable: str, value: str) -> None:
    with pytest.raises(WrongSetting) as caught:
        read(Config, {variable: value})
    text = str(caught.value)
    assert variable in text and repr(value) in text and "give " in text


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("7", 7), ("2K", 2048), ("512M", 1 << 29), ("1GiB", 1 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert read(Config, {"PROTOSCALE_RESERVE": text}).reserve == size


def names(**environ: str) -> list[str]:
    return [post.name for post in posts(read(Config, environ), ("cpu",))]


def test_which_workers_there_are_without_a_gpu() -> None:
    assert names() == ["texture-cpu", "geometry-cpu"]
    assert names(GEOMETRY_DEVICE="cpu", TEXTURE_DEVICE="cpu") == ["all-cpu"]
    assert names(GEOMETRY_DEVICE="cpu,cpu") == ["texture-cpu", "geometry-cpu", "geometry-cpu-2"]


def test_which_workers_there_are_with_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.devices.present", lambda: ["cuda:0", "cuda:1", "cuda:2", "cpu"])

    def cards(**environ: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(post.name, post.stages) for post in posts(read(Config, environ), ("cuda",))]

    assert cards() == [("texture-cuda0", ("cutout", "texture")), ("geometry-cuda1", ("geometry",))]
    assert [name for name, _ in cards(GEOMETRY_DEVICE="cuda:1,cuda:2")] == [
        "texture-cuda0",
        "geometry-cuda1",
        "geometry-cuda2",
    ]
    assert cards(GEOMETRY_DEVICE="cuda:0") == [("all-cuda0", ("cutout", "texture", "geometry"))]
    twice = dict.fromkeys(("GEOMETRY_DEVICE", "TEXTURE_DEVICE"), "cuda:0,cuda:0")
    names = [name for name, _ in cards(**twice)]
    assert len(names) == len(set(names)) == 2 and names[0] == "all-cuda0"
    with pytest.raises(EngineUnavailable, match=r"GEOMETRY_DEVICE names cuda:7.*cuda:0, cuda:1, cuda:2"):
        cards(GEOMETRY_DEVICE="cuda:7")


def test_a_device_that_is_not_there_is_an_error_that_names_what_is() -> None:
    with pytest.raises(EngineUnavailable, match="cpu"):
        names(TEXTURE_DEVICE="cuda:5")
    assert present()[-1] == "cpu"


def test_room_is_measured(tmp_path: Path) -> None:
    assert room_left(tmp_path, 1)
    assert not room_left(tmp_path, 1 << 60)


@pytest.mark.parametrize("text", ["inf", "nan", "-inf", "1e999"])
def test_a_number_has_an_end(text: str) -> None:
    with pytest.raises(WrongSetting):
        read(Config, {"PROTOSCALE_DRAIN_LIMIT": text})
