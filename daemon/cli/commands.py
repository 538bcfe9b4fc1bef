"""The commands of the command line, as they are added to its parser."""

from __future__ import annotations

import argparse


class Commands:
    """The commands, in the order in which they are added."""

    def __init__(self, top: argparse.ArgumentParser) -> None:
        self._kinds = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(self, name: str, what: str, example: str, *, json: bool = False) -> argparse.ArgumentParser:
        """One more: what it does, as half a sentence, and a command line that does it."""
        made = self._kinds.add_parser(
            name,
            help=what,
            description=what[0].upper() + what[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if json:
            made.add_argument("--json", action="store_true", help="print JSON for a program to read")
        return made
