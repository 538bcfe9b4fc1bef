"""The parser: every command and its options, as `--help` shows them."""

from __future__ import annotations

import argparse
import os
from importlib.metadata import version
from pathlib import Path

from daemon.cli import exits
from daemon.cli.commands import Commands
from spool.layout import DEFAULT_QUALITY, QUALITIES
from spool.priority import NORMAL, PRIORITIES

ABOUT = """Turn a photo of an object into a textured 3D model.

The spool is a directory that is queue, record and result at once: a job is a directory in it, and the folder it
lies in (inbox, geometry, texture, done, failed) is its state. Any image copied into <spool>/inbox becomes a job."""

CODES = "exit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in exits.MEANING.items())

JOB = "a job: its id, or the last characters of it (as `protoscale ls` shows them)"


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="protoscale",
        description=ABOUT,
        epilog=f"examples:\n  protoscale run\n  protoscale submit cup.jpg --quality ultra --out models/\n"
        f"  protoscale status\n\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"protoscale {version('protoscale')}")
    top.add_argument("--spool", type=Path, metavar="DIR", help="use this spool (instead of PROTOSCALE_SPOOL)")
    top.add_argument(
        "--service", action="store_true", help="act for the systemd service: its settings, its user; as root"
    )
    commands = Commands(top)
    for group in (_service, _making, _jobs, _queue, _exports, _models, _units, _keys, _cluster, _others):
        group(commands)
    return top


def _service(commands: Commands) -> None:
    """The service itself."""
    run = commands.add(
        "run", "run the service: supervisor, workers and HTTP server, until SIGTERM", "protoscale run"
    )
    run.add_argument("--no-http", action="store_true", help="without the HTTP server")
    serve = commands.add("serve", "run the HTTP server alone", "protoscale serve")
    serve.add_argument(
        "--no-webhooks",
        action="store_true",
        help="leave webhooks to `protoscale webhooks`: it has no network",
    )
    webhooks = commands.add(
        "webhooks", "deliver webhooks, for a server that has no network", "protoscale webhooks"
    )
    for command in (run, serve, webhooks):
        command.add_argument(
            "--log-format",
            choices=("text", "json"),
            help="log lines for people, or for programs (default text)",
        )


def _making(commands: Commands) -> None:
    """Photos in, models out."""
    submit = commands.add(
        "submit",
        "queue photos and wait for their models",
        "protoscale submit cup.jpg vase.png --quality ultra --out models/",
        json=True,
    )
    submit.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="image files, or folders: every picture in them and below",
    )
    submit.add_argument("--no-wait", action="store_true", help="queue them and return")
    submit.add_argument(
        "--priority", choices=PRIORITIES, default=NORMAL, help="who goes first (default %(default)s)"
    )
    submit.add_argument(
        "--tag",
        dest="tags",
        action="append",
        default=[],
        metavar="TAG",
        help="a word to find the jobs by; may be given several times",
    )
    submit.add_argument("--name", metavar="NAME", help="what to call the job (default: the file's name)")
    submit.add_argument(
        "--strict", action="store_true", help="fail at the end if a file in a folder was no picture"
    )
    _wishes(submit, out="copy each result into a folder of this directory, named after its photo")

    make = commands.add(
        "make",
        "make one model here and now, with no service running",
        "protoscale make cup.jpg --quality draft --out cup/",
        json=True,
    )
    make.add_argument("file", type=Path, metavar="FILE", help="an image file")
    make.set_defaults(priority=NORMAL, tags=[], name=None)
    _wishes(
        make,
        out="where the results go (default: a folder named after the photo; cup-model/ beside a file cup)",
    )


def _jobs(commands: Commands) -> None:
    """Jobs that there are."""
    status = commands.add(
        "status", "tell how one job is doing, or the whole service", "protoscale status 9c1f2a", json=True
    )
    status.add_argument("job", nargs="?", metavar="JOB", help=JOB + "; without it, the service")

    ls = commands.add("ls", "list the jobs, newest first", "protoscale ls --limit 10", json=True)
    ls.add_argument(
        "--limit", type=_positive, default=20, metavar="N", help="at most N jobs (default %(default)s)"
    )
    ls.add_argument("--tag", metavar="TAG", help="only jobs with this tag")

    for name, what in (
        ("cancel", "stop jobs: waiting ones now, running ones at their next step"),
        ("retry", "queue failed jobs again; what they had made is kept"),
        ("rm", "delete finished, failed or held jobs with everything in them"),
    ):
        commands.add(name, what, f"protoscale {name} 9c1f2a").add_argument(
            "jobs", nargs="+", metavar="JOB", help=JOB
        )


def _queue(commands: Commands) -> None:
    """The queue as a whole, and who goes first."""
    queue = commands.add(
        "queue", "tell what runs and waits, in order, and until when", "protoscale queue", json=True
    )
    queue.add_argument(
        "--first", type=_positive, default=20, metavar="N", help="of those that wait, N (default %(default)s)"
    )
    pause = commands.add(
        "pause",
        "begin no more jobs until `resume`; uploads are taken",
        "protoscale pause --reason 'new card'",
    )
    pause.add_argument("--reason", default="", metavar="TEXT", help="told to everybody who waits")
    commands.add("resume", "begin jobs again after `pause`", "protoscale resume")
    prioritise = commands.add(
        "prioritise",
        "let jobs go before or behind the others of their age",
        "protoscale prioritise high 9c1f2a",
    )
    prioritise.add_argument("priority", choices=PRIORITIES, metavar="PRIORITY", help=", ".join(PRIORITIES))
    prioritise.add_argument("jobs", nargs="+", metavar="JOB", help=JOB)


def _exports(commands: Commands) -> None:
    """Other formats."""
    from daemon.cli import export

    export.options(
        commands.add(
            "export",
            "make another format of a finished model, or its print report",
            "protoscale export 9c1f2a --format 3mf --height 80 --out cup.3mf",
        )
    )


def _models(commands: Commands) -> None:
    """What engines need."""
    models = commands.add("models", "show or fetch the models that engines need", "protoscale models pull")
    kinds = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    kinds.add_parser("ls", help="show what is there").add_argument("--json", action="store_true")
    pull = kinds.add_parser("pull", help="fetch a model and verify it by its sha256")
    pull.add_argument(
        "name", nargs="?", metavar="NAME", help="which (default: REMBG_MODEL); hunyuan for Hunyuan3D-2.1"
    )
    pull.add_argument(
        "--accept-license", action="store_true", help="accept Hunyuan3D-2.1's licence without being asked"
    )


def _units(commands: Commands) -> None:
    """Where the service is put."""
    units = commands.add(
        "install-systemd",
        "put the systemd units of this installation in place, or take them away",
        "protoscale install-systemd",
    )
    _places(units)
    units.add_argument(
        "--uninstall",
        action="store_true",
        help="stop the service and remove the units; settings and spool stay",
    )


def _keys(commands: Commands) -> None:
    """Who may use the HTTP API."""
    keys = commands.add(
        "keys", "make, list or revoke keys of the HTTP API", "protoscale keys create web --role submit"
    )
    kinds = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = kinds.add_parser("create", help="make a key and print it, this once")
    create.add_argument("name", metavar="NAME", help="what to call it")
    create.add_argument(
        "--role", choices=("read", "submit", "admin"), default="submit", help="(default %(default)s)"
    )
    kinds.add_parser("ls", help="show the keys").add_argument("--json", action="store_true")
    kinds.add_parser("revoke", help="make a key worthless").add_argument("name", metavar="NAME")


def _cluster(commands: Commands) -> None:
    """Other machines."""
    cluster = commands.add(
        "cluster",
        "show the machines of the cluster, or take one out for a while",
        "protoscale cluster drain gpubox2",
    )
    kinds = cluster.add_subparsers(dest="action", required=True, metavar="ACTION")
    kinds.add_parser("ls", help="show who is there").add_argument(
        "--json", action="store_true", help="print JSON for a program to read"
    )
    for name, what in (
        ("drain", "let a machine finish what it does, and give it nothing more until undrained"),
        ("undrain", "give a drained machine work again"),
    ):
        kinds.add_parser(name, help=what).add_argument(
            "node", metavar="NODE", help="as `cluster ls` shows it"
        )


def _others(commands: Commands) -> None:
    """An assistant's tools, and what works here."""
    commands.add(
        "mcp", "serve the service as tools of an assistant (MCP over stdin and stdout)", "protoscale mcp"
    )
    doctor = commands.add(
        "doctor", "tell what works here, what does not, and what to do", "protoscale doctor", json=True
    )
    doctor.add_argument(
        "--gpu", action="store_true", help="try each GPU too: a shape and a texture for real, some minutes"
    )


def _wishes(command: argparse.ArgumentParser, *, out: str) -> None:
    command.add_argument(
        "--quality", choices=QUALITIES, default=DEFAULT_QUALITY, help="(default %(default)s)"
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="for engines that use one (default 0)"
    )
    command.add_argument("--keep-background", action="store_true", help="the whole picture is the object")
    command.add_argument(
        "--allow-lower",
        action="store_true",
        help="rather lower settings than no model where a GPU's memory is too small",
    )
    command.add_argument("--out", type=Path, metavar="DIR", help=out)


def _places(command: argparse.ArgumentParser) -> None:
    """Where to install; the variables are those that packagers set."""
    command.add_argument(
        "--prefix",
        default=os.environ.get("PREFIX") or "/usr/local",
        metavar="DIR",
        help="units go to DIR/lib/systemd/system (default: the variable PREFIX, else /usr/local)",
    )
    command.add_argument(
        "--destdir",
        default=os.environ.get("DESTDIR") or "",
        metavar="DIR",
        help="write below DIR and touch nothing else, to build a package (default: the variable DESTDIR)",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
