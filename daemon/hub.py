"""The weights of Hunyuan3D-2.1 from the hub that publishes them: resumable, verified, with their licence accepted.

What is pulled is written down beside the weights (`pulled.json`: revision, sizes, SHA-256), so that `models ls` can
verify it without the network.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from daemon.download import DownloadFailed, from_web, sha256_of
from daemon.engines.hunyuan.weights import DINO, MODEL, PAINT, REALESRGAN, SHAPE
from daemon.errors import DaemonError, EngineUnavailable
from spool import command, durable

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Report = Callable[[str], None]

UPSCALER_URL = "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth"
UPSCALER_SIZE = 67_040_989
UPSCALER_SHA256 = "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1"

LICENCE = """\
Hunyuan3D-2.1's code and weights come under the Tencent Hunyuan 3D 2.1 Community License, not under ProtoScale's:
  * it does not apply, and so gives no right of use, in the European Union, the United Kingdom and South Korea;
  * very large services need a licence of their own, and an acceptable-use policy applies.
  https://huggingface.co/tencent/Hunyuan3D-2.1/blob/main/LICENSE
DINOv2 (Apache-2.0) and RealESRGAN (BSD-3-Clause) come along."""
ACCEPTED = "licence-accepted.json"
PULLED = "pulled.json"
WEB_TIMEOUT = 30.0
TRIES = 4
SLACK = 1 << 30
"""Bytes of disk that stay free."""


class LicenceNotAccepted(DaemonError):
    """The terms were shown and not agreed to."""


@dataclass(frozen=True)
class Repository:
    """What is taken of one repository on the hub: files whose path begins with `prefix`, into `folder`."""

    name: str
    revision: str
    prefix: str
    folder: str
    skip: tuple[str, ...] = ()


REPOSITORIES = (
    Repository(MODEL, "0b94677654c57bb9a6b6845cd7b704ccf551d327", f"{SHAPE}/", ""),
    Repository(
        MODEL,
        "0b94677654c57bb9a6b6845cd7b704ccf551d327",
        f"{PAINT}/",
        "",
        skip=("text_encoder/", "image_encoder/"),  # never asked: the prompt is a learned tensor
    ),
    Repository(
        "facebook/dinov2-giant",
        "611a9d42f2335e0f921f1e313ad3c1b7178d206d",
        "",
        DINO,
        skip=("pytorch_model.bin",),
    ),
)


@dataclass(frozen=True)
class Item:
    """One file: where it is on the hub, where it goes below the weights' folder, and what it must be."""

    repository: str
    revision: str
    source: str
    target: str
    size: int
    sha256: str | None


def accept(folder: Path, agreed: Callable[[], bool], report: Report) -> None:
    """Show the terms unless they were accepted before, and write down that they are. Raises LicenceNotAccepted."""
    record = folder / ACCEPTED
    if record.exists():
        return
    report(LICENCE)
    if not agreed():
        raise LicenceNotAccepted(
            "The licence was not accepted, so nothing was fetched. In a script, give --accept-license."
        )
    folder.mkdir(parents=True, exist_ok=True)
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    durable.replace_json(record, {"licence": LICENCE, "accepted_at": when})


def pull(
    folder: Path,
    report: Report,
    *,
    model: str = MODEL,
    endpoint: str | None = None,
    upscaler_url: str = UPSCALER_URL,
    repositories: tuple[Repository, ...] = REPOSITORIES,
) -> Path:
    """Fetch what is missing under `folder`, whole and verified. `model` may name a copy of Tencent's repository.

    A fetch that was cut off goes on where it stopped. Raises EngineUnavailable with what to do.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise EngineUnavailable(
            "HF_HUB_OFFLINE is set, so nothing is fetched. Unset it, or copy the weights into "
            f"{folder} (HUNYUAN_CKPT_DIR) by hand."
        )
    items = _listed(HfApi(endpoint=endpoint), repositories, model)
    missing = [item for item in items if not _there(folder, item)]
    need_upscaler = not _is_upscaler(folder / REALESRGAN)
    wanted = sum(item.size for item in missing) + need_upscaler * UPSCALER_SIZE
    _require_room(folder, wanted)
    for number, item in enumerate(missing, start=1):
        report(f"[{number}/{len(missing)}] {item.target} ({item.size / 1e6:,.1f} MB)")
        _fetch(folder, item, endpoint, report)
    if need_upscaler:
        _fetch_upscaler(folder, upscaler_url, report)
    durable.replace_json(folder / PULLED, {"files": [asdict(item) for item in items]})
    report(f"{len(items)} files of Hunyuan3D-2.1 are here and verified: {folder}")
    return folder


@dataclass(frozen=True)
class FileState:
    """One file that was pulled, as it is now."""

    path: Path
    size: int
    present: bool
    verified: bool


def inspect(folder: Path) -> Iterator[FileState]:
    """What `pull` fetched, verified again; reads every file. Yields nothing where nothing was ever pulled."""
    try:
        files = json.loads((folder / PULLED).read_bytes())["files"]
    except (FileNotFoundError, ValueError, KeyError):
        return
    for value in files:
        item = Item(**value)
        path = folder / item.target
        yield FileState(path, item.size, path.is_file(), _there(folder, item))
    path = folder / REALESRGAN
    yield FileState(path, UPSCALER_SIZE, path.is_file(), _is_upscaler(path))


def _listed(api: HfApi, repositories: tuple[Repository, ...], model: str) -> list[Item]:
    """What the hub says there is. Raises EngineUnavailable."""
    from huggingface_hub.errors import HFValidationError

    items = []
    for wanted in repositories:
        name = model if wanted.name == MODEL else wanted.name
        # The pinned revision is Tencent's; a copy has its own history, and its newest is what there is.
        revision = wanted.revision if name == wanted.name else None
        try:
            told = api.model_info(name, revision=revision, files_metadata=True)
        except HFValidationError:
            raise EngineUnavailable(
                f"MODEL_PATH={name} is neither a folder that is here nor a name on the hub, such as {MODEL}."
            ) from None
        except _network_errors() as error:
            raise EngineUnavailable(
                f"The hub does not answer for {name}: {error}. Try again later."
            ) from error
        for file in told.siblings or ():
            path = file.rfilename
            if path.startswith(wanted.prefix) and not any(part in path for part in wanted.skip):
                if path.rpartition("/")[2].startswith(".") or path.endswith((".md", ".png", ".jpg")):
                    continue
                target = str(PurePosixPath(wanted.folder) / path)
                sha256 = file.lfs.sha256 if file.lfs else None
                items.append(Item(name, str(told.sha), path, target, int(file.size or 0), sha256))
    return items


def _fetch(folder: Path, item: Item, endpoint: str | None, report: Report) -> None:
    from huggingface_hub import hf_hub_download

    # Below the folder that this repository's files go to; the hub's client keeps what it needs to resume there.
    home = folder / item.target.removesuffix(item.source)
    # The client trusts its own note of what it fetched, not the file: one that is not right has to go first.
    (folder / item.target).unlink(missing_ok=True)
    for left in reversed(range(TRIES)):
        try:
            hf_hub_download(
                item.repository, item.source, revision=item.revision, local_dir=home, endpoint=endpoint
            )
            break
        except _network_errors() as error:
            report(f"{item.target} broke off: {error}")
            if not left:
                raise EngineUnavailable(
                    f"{item.target} broke off {TRIES} times: {error}. "
                    f"Run {command.typed('models pull hunyuan')} again; it goes on from there."
                ) from error
    if not _there(folder, item):
        (folder / item.target).unlink(missing_ok=True)
        raise EngineUnavailable(
            f"{item.target} came with the wrong content and was removed. "
            f"Run {command.typed('models pull hunyuan')} again."
        )


def _network_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises where the network fails. Which library it speaks by depends on its release."""
    from huggingface_hub.errors import HfHubHTTPError

    libraries = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (HfHubHTTPError, OSError, *(library.HTTPError for library in libraries))


def _there(folder: Path, item: Item) -> bool:
    """Whether the file lies there and is the right one; small files have no checksum on the hub, so go by size."""
    path = folder / item.target
    if not path.is_file() or path.stat().st_size != item.size:
        return False
    return item.sha256 is None or sha256_of(path) == item.sha256


def _is_upscaler(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == UPSCALER_SIZE and sha256_of(path) == UPSCALER_SHA256


def _fetch_upscaler(folder: Path, url: str, report: Report) -> None:
    try:
        report(f"Fetching {REALESRGAN} from {url}")
        from_web(url, folder / REALESRGAN, UPSCALER_SIZE, UPSCALER_SHA256, report, WEB_TIMEOUT)
    except DownloadFailed as error:
        # Textures are made without it too, a little softer, and the result says so.
        report(f"{REALESRGAN} cannot be had now ({error}); textures are made without it.")


def _require_room(folder: Path, wanted: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    # What an earlier try left half-done lies on the disk already; it only makes the estimate safer.
    if wanted and free < wanted + SLACK:
        raise EngineUnavailable(
            f"{wanted / 2**30:.1f} GiB are to be fetched into {folder}, and {free / 2**30:.1f} GiB are free there. "
            "Free space, or set HUNYUAN_CKPT_DIR to a larger disk."
        )
