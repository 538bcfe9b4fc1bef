"""`protoscale submit`: queue photos, or all that lie in folders, wait, fetch the results."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.cli import exits
from daemon.cli.names import short
from daemon.cli.results import fetch, is_taken, prepared
from daemon.cli.waiting import Vigil, has_ended, wait
from spool import command, layout, lock, picture, rights
from spool.errors import InvalidRequest
from spool.escape import escaped
from spool.job import Job, Request, check_name
from spool.room import check_room
from spool.settings import SpoolSettings, read
from spool.spool import Spool
from spool.view import COMPLETED, GIVEN_UP, look


def run(options: argparse.Namespace) -> int:
    """Queue every photo, then wait for all of them unless told not to."""
    settings = read(SpoolSettings)
    spool = Spool.open(settings.spool)
    if options.no_wait and options.out:
        raise InvalidRequest("--out needs the results, and --no-wait does not wait for them; leave one out")
    check_room(spool.root, settings.reserve)
    with prepared(options.out) if options.out else contextlib.nullcontext():
        return _submit(spool, options)


def _submit(spool: Spool, options: argparse.Namespace) -> int:
    found = list(photos(options.files))
    if options.name and len(found) > 1:
        raise InvalidRequest(f"--name is for one photo, and these are {len(found)}; --tag groups them")
    work = [(queue(spool, photo.path, options), photo) for photo in found if photo.is_one]
    skipped = len(found) - len(work)
    if not work:
        raise InvalidRequest(f"no picture lies in {', '.join(map(str, options.files))}")
    code = exits.FAILED if skipped and options.strict else exits.OK
    if options.no_wait:
        if options.json:
            print(json.dumps([look(spool, job.id) for job, _ in work], indent=2))
        else:
            for job, _ in work:
                print(job.id)
        return code
    if not lock.is_held(spool.root):
        told = [look(spool, job.id) for job, _ in work]
        if options.json:
            print(json.dumps(told, indent=2))
        return _nobody_works(told)
    return _wait_for_all(spool, work, options) or code


def _nobody_works(told: list[dict[str, Any]]) -> int:
    names = " ".join(short(one["job_id"]) for one in told)
    print(f"queued and safe ({names}), but nobody works here: start {command.started()}", file=sys.stderr)
    return exits.NO_SERVICE


@dataclass(frozen=True)
class Photo:
    """A file to queue. `below` is the folder it lies in, seen from the one that was named."""

    path: Path
    below: Path = Path()
    is_one: bool = True


def photos(named: Sequence[Path]) -> Iterator[Photo]:
    """The files that were named, and those in the folders that were named, in order; hidden ones are left alone.

    What lies in a folder and is no picture is told on stderr, and not `is_one`. Raises InvalidRequest for a folder
    that cannot be read.
    """
    for path in named:
        if not path.is_dir():
            yield Photo(path)
            continue
        for folder, folders, files in os.walk(path, onerror=_unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith("."):
                    yield _seen(Path(folder, name), Path(folder).relative_to(path))


def _seen(path: Path, below: Path) -> Photo:
    try:
        with path.open("rb") as file:
            if picture.suffix_of(file.read(picture.HEAD)):
                return Photo(path, below)
        reason = f"not a picture: its content is none of {picture.ACCEPTED}"
    except OSError as error:
        reason = str(error.strerror)
    print(f"skipped {escaped(str(path))}: {reason}", file=sys.stderr)
    return Photo(path, below, is_one=False)


def _unreadable(error: OSError) -> None:
    raise InvalidRequest(f"{error.filename} cannot be read: {error.strerror}")


def queue(spool: Spool, file: Path, options: argparse.Namespace) -> Job:
    """Copy `file` into a new job in the inbox. Raises InvalidRequest for a file that cannot be read or is no picture.

    And OSError where the spool does not take it. Root reads the file, and writes the job as the spool's owner.
    """
    with contextlib.closing(_pieces(file)) as pieces:
        first = next(pieces, b"")
        suffix = picture.suffix_of(first[: picture.HEAD])
        if suffix is None:
            raise InvalidRequest(f"{file} is not a picture: its content is none of {picture.ACCEPTED}")
        request = Request.new(
            source="cli",
            name=check_name(options.name) if options.name else file.name,
            suffix=suffix,
            quality=options.quality,
            seed=options.seed,
            remove_bg=not options.keep_background,
            allow_lower=options.allow_lower,
            tags=tuple(options.tags),
        )
        with rights.of_owner(spool.root):
            draft = spool.draft(request)
            try:
                with draft.input.open("wb") as target:
                    target.writelines(itertools.chain([first], pieces))
                return draft.publish(layout.INBOX, options.priority)
            except BaseException:
                draft.discard()
                raise


def _pieces(file: Path) -> Generator[bytes, None, None]:
    """The content of a photo. Raises InvalidRequest: what is the matter with it is not the spool's."""
    try:
        with file.open("rb") as source:
            while piece := source.read(1 << 20):
                yield piece
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}") from None


def _wait_for_all(spool: Spool, work: list[tuple[Job, Photo]], options: argparse.Namespace) -> int:
    told: list[dict[str, Any]] = []
    taken: set[Path] = set()
    vigil = Vigil(spool.root)
    is_fetched = True
    for job, photo in work:
        end = wait(spool, job.id, vigil)
        told.append(end)
        folder = spool.find(job.id).job.path
        if end["status"] == COMPLETED and options.out:
            wanted = _folder(options.out / photo.below, end, taken)
            if _is_fetched(spool, end, wanted):
                folder = wanted
            else:
                is_fetched = False
        if has_ended(end) and not options.json:
            _say(end, folder)
    if options.json:
        print(json.dumps(told, indent=2))
    if left := [end for end in told if not has_ended(end)]:
        return _nobody_works(left)
    return exits.OK if is_fetched and all(end["status"] == COMPLETED for end in told) else exits.FAILED


def _is_fetched(spool: Spool, end: dict[str, Any], folder: Path) -> bool:
    """Whether a result could be copied; if not, it is told, and lies in the spool as before."""
    try:
        fetch(spool, end["job_id"], folder)
    except OSError as error:
        print(
            f"{end['name']}: {error.filename or folder} cannot be written: {error.strerror}", file=sys.stderr
        )
        return False
    return True


def _folder(out: Path, end: dict[str, Any], taken: set[Path]) -> Path:
    """Named after the photo, and after the job too where another photo of this command, or a file, has that name."""
    folder = out / Path(end["name"]).stem
    if folder in taken or is_taken(folder):
        folder = out / f"{folder.name}-{short(end['job_id'])}"
    taken.add(folder)
    return folder


def _say(end: dict[str, Any], folder: Path) -> None:
    if end["status"] == GIVEN_UP:
        print(escaped(f"{end['name']}: {end['error']}"), file=sys.stderr)
        return
    for note in end["notes"]:
        print(escaped(f"{end['name']}: {note}"), file=sys.stderr)
    print(folder / layout.MODEL_GLB)
