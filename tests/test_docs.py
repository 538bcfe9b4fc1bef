"""The documents are held against the code: commands, settings, routes, files."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from daemon.cli.parser import parser
from daemon.config import Config
from httpd.app import ROUTES
from httpd.config import HttpConfig
from spool import layout
from spool.view import stage_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SETTINGS = {str(item.metadata["env"]): item for kind in (Config, HttpConfig) for item in fields(kind)}


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of the README."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_setting_is_documented_once_with_its_default() -> None:
    rows = {row[0].strip("`"): row for row in table("Settings")}
    assert set(rows) == set(SETTINGS)
    assert len(table("Settings")) == len(rows)
    for name, item in SETTINGS.items():
        default = item.metadata["default"]
        if isinstance(default, str) and default:
            assert rows[name][1] == f"`{default}`", name
        assert rows[name][2] == item.metadata["what"], name


def test_every_route_is_documented_and_none_else() -> None:
    told = set()
    for row in table("HTTP API"):
        told |= set(re.findall(r"`(GET|POST|DELETE) ([^` ]+)`", row[0]))
    real = {
        (method, route.path.replace("{job_id}", "{id}"))
        for route in ROUTES
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert told == real


def test_every_command_is_documented() -> None:
    told = {match for row in table("Commands") for match in re.findall(r"`protoscale ([\w-]+)", row[0])}
    (commands,) = (action.choices for action in parser()._actions if isinstance(action.choices, dict))
    assert told == set(commands)


def test_every_file_that_a_text_names_is_there() -> None:
    """The texts for people, and the docstrings."""
    ours = ("daemon", "spool", "httpd", "tests", "benchmarks", "systemd", "examples", "docs")
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    texts += [path for folder in ours for path in (ROOT / folder).rglob("*.py")]
    named = re.compile(rf"`((?:{'|'.join(ours)})/[\w./-]*\w)`")
    missing = [
        f"{text.relative_to(ROOT)}: {name}"
        for text in texts
        for name in named.findall(text.read_text())
        if not (ROOT / name).exists()
    ]
    assert not missing


@pytest.mark.parametrize("document", ["docs/spool.md", "docs/design.md"])
def test_every_file_of_a_job_is_documented(document: str) -> None:
    text = (ROOT / document).read_text()
    for name in (
        layout.REQUEST,
        layout.STATUS,
        *layout.PRODUCTS[:2],
        layout.MODEL_GLB,
        layout.ANALYSIS,
        layout.LOG,
    ):
        assert f"`{name}`" in text
    assert all(f"{folder}/" in text for folder in layout.FOLDERS)
    assert stage_of.__doc__


def test_every_module_is_in_the_tree() -> None:
    tree = (ROOT / "docs" / "architecture.md").read_text().split("## The tree")[1]
    for path in [*(ROOT / "daemon").glob("*.py"), *(ROOT / "spool").glob("*.py")]:
        if path.stem not in ("__init__", "errors"):
            assert path.name in tree, path


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), (document, target)


def test_the_two_commands_are_real() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"\n{target}:" in makefile
        assert f"make {target}" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text()
