"""three.js, which draws the models on the page: fetched from the npm registry, checked, never committed.

`make setup` and every build of a wheel call `fetch`; `python -m httpd.viewer` does the same by hand, for an
installation that was built without a network. Only the standard library, because the build has nothing else.

0.185.1 is the last release whose package holds minified files, so no JavaScript tool is needed here.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import io
import os
import re
import sys
import tarfile
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

VERSION = "0.185.1"
SHA256 = "a2143f5bf978bd3470a51024b2b6bdd581913ba8f36ff1538d433f3a95adf2df"
LARGEST = 32 << 20
REGISTRY = "https://registry.npmjs.org"
TIMEOUT = 60.0

FOLDER = Path(__file__).parent / "page" / "three"
FILES = (
    "LICENSE",
    "build/three.core.min.js",
    "build/three.module.min.js",
    "examples/jsm/controls/OrbitControls.js",
    "examples/jsm/environments/RoomEnvironment.js",
    "examples/jsm/loaders/GLTFLoader.js",
    "examples/jsm/utils/BufferGeometryUtils.js",
    "examples/jsm/utils/SkeletonUtils.js",
)
"""What the page needs of the package."""
STAMP = "VERSION"
"""Written last: where it is, all files of that version are."""

_IMPORT = re.compile(r"^((?:import|\}).* from )'(three|\.\./\w+/(\w+\.js))';$", re.MULTILINE)


class NotFetched(Exception):
    """The package could not be had, or is not the one it should be. The message is for a person."""


def present(folder: Path = FOLDER) -> bool:
    """Whether the files of this version are there."""
    try:
        return (folder / STAMP).read_text() == VERSION
    except FileNotFoundError:
        return False


def fetch(folder: Path = FOLDER, package: Path | None = None) -> bool:
    """Make the files be in `folder`, from the registry or from `package` (three-<version>.tgz).

    Returns whether anything had to be done. `NPM_CONFIG_REGISTRY` names another registry, as it does for npm.
    Raises NotFetched.
    """
    if present(folder):
        return False
    content = package.read_bytes() if package else _from_registry()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise NotFetched(f"three {VERSION} came with the wrong content (SHA-256 {found}, not {SHA256})")
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for name in FILES:
            member = archive.extractfile(f"package/{name}")
            assert member, name
            _write(folder / Path(name).name, side_by_side(member.read().decode()))
    _write(folder / STAMP, VERSION)
    return True


def _from_registry() -> bytes:
    registry = (os.environ.get("NPM_CONFIG_REGISTRY") or REGISTRY).rstrip("/")
    url = f"{registry}/three/-/three-{VERSION}.tgz"
    try:
        with closing(urllib.request.urlopen(url, timeout=TIMEOUT)) as answer:
            content: bytes = answer.read(LARGEST)
            return content
    except urllib.error.HTTPError as error:
        error.close()
        raise NotFetched(f"{url} answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotFetched(f"{url} cannot be had: {getattr(error, 'reason', error)}") from error


def side_by_side(module: str) -> str:
    """The module with its imports leading to files in its own folder.

    A browser cannot resolve the bare name 'three' without an import map, and an import map would be an inline
    script, which the page's Content-Security-Policy forbids.
    """
    return _IMPORT.sub(lambda found: f"{found[1]}'./{found[3] or 'three.module.min.js'}';", module)


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    aside.replace(path)


def main() -> int:
    """Fetch it. Returns 0 also where that failed and `--optional` was given: the page works without."""
    options = argparse.ArgumentParser(prog="python -m httpd.viewer", description="fetch the page's 3D viewer")
    options.add_argument("--from", dest="package", type=Path, metavar="FILE", help=f"three-{VERSION}.tgz")
    options.add_argument("--optional", action="store_true", help="exit with 0 also where it cannot be had")
    given = options.parse_args()
    try:
        if fetch(package=given.package):
            print(f"three.js {VERSION} is in {FOLDER}")
    except (NotFetched, OSError) as error:
        print(
            f"no 3D viewer: {error}\n"
            "The page works without it (it shows the four views). Later: python -m httpd.viewer",
            file=sys.stderr,
        )
        return 0 if given.optional else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
