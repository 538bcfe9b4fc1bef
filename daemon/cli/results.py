"""Where the products of finished jobs are copied to: looked at before the work begins, since that takes minutes."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spool import layout
from spool.errors import InvalidRequest
from spool.spool import Spool


def folder_for(photo: Path) -> Path:
    """A folder in the working directory named after the photo; beside a file of that name, say the photo itself,
    `<name>-model`."""
    folder = Path(photo.stem)
    return Path(f"{folder}-model") if is_taken(folder) else folder


def is_taken(folder: Path) -> bool:
    """Whether something that is no folder has this name."""
    return folder.exists() and not folder.is_dir()


@contextlib.contextmanager
def prepared(folder: Path) -> Iterator[Path]:
    """`folder`, made if it is not there, and seen to take files; what was made and stayed empty is gone afterwards.

    Raises InvalidRequest where no file can be put there.
    """
    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError:
        raise InvalidRequest(
            f"the results cannot go into {folder}: it is a file; give another --out"
        ) from None
    except OSError as error:
        raise InvalidRequest(
            f"the results cannot go into {folder}: {error.strerror}; give another --out"
        ) from None
    try:
        yield folder
    finally:
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()


def fetch(spool: Spool, job_id: str, folder: Path) -> list[Path]:
    """Copy a finished job's products into `folder` (made if needed); returns their paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for name in layout.PRODUCTS:
        try:
            source = spool.open_file(job_id, name)
        except FileNotFoundError:
            continue
        with source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        copied.append(folder / name)
    return copied
