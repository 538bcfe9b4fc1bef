"""API keys: one small file each in `<spool>/keys/`, so that every HTTP process sees a new or revoked key at once.

A key is 32 random bytes, so a plain SHA-256 of it is enough at rest: there is nothing to guess that a slow hash would
protect. The name stands in the key itself, so checking one reads one file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from spool import durable, rights
from spool.command import typed
from spool.errors import InvalidRequest, SpoolUnusable

KEYS = "keys"
READ, SUBMIT, ADMIN = ROLES = ("read", "submit", "admin")
"""Each may do what those before it may."""
MEANING: Mapping[str, str] = {
    READ: "see jobs, results, events and metrics",
    SUBMIT: "also upload, generate, cancel and retry, and delete what it uploaded",
    ADMIN: "also delete any job, ask for priority high, pause and resume the queue",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SHAPE = re.compile(r"psk_([a-z0-9][a-z0-9-]{0,39})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Key:
    """A key as it is kept: everything but the key."""

    name: str
    role: str
    created: str
    sha256: str

    def may(self, role: str) -> bool:
        """Whether this key's role includes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


def create(root: Path, name: str, role: str) -> str:
    """Make a key and return it; it is told this once and kept nowhere. Raises InvalidRequest."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} is no name for a key; use up to 40 lower-case letters, digits and hyphens"
        )
    if role not in ROLES:
        raise InvalidRequest(f"role {role!r} is not one of {', '.join(ROLES)}")
    folder = root / KEYS
    if not folder.exists():
        durable.make_folder(folder)
        folder.chmod(0o700)
    path = _path(root, name)
    if path.exists():
        raise InvalidRequest(f"there is a key called {name!r} already; revoke it first, or take another name")
    token = f"psk_{name}_{secrets.token_urlsafe(32)}"
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    durable.replace_json(path, asdict(Key(name, role, created, _digest(token))))
    path.chmod(0o600)
    return token


def check(root: Path, token: str) -> Key | None:
    """The key that `token` is, or None where it is none, or was revoked."""
    shape = _SHAPE.fullmatch(token)
    if not shape:
        return None
    key = _read(_path(root, shape[1]))
    return key if key and hmac.compare_digest(key.sha256, _digest(token)) else None


def listing(root: Path) -> list[Key]:
    """Every key, by name. Raises SpoolUnusable where this user may not read them."""
    folder = root / KEYS
    try:
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return [key for path in paths if path.suffix == ".json" and (key := _read(path))]
    except PermissionError as error:
        raise SpoolUnusable(
            f"the keys in {folder} may not be read by this user ({error.filename} belongs to "
            f"{rights.owner(folder)}): do it as that user, or give the folder to the one that the server runs as"
        ) from None


def revoke(root: Path, name: str) -> None:
    """Delete a key; whoever still sends it is refused from the next request on. Raises InvalidRequest."""
    path = _path(root, name)
    if not _NAME.fullmatch(name) or not path.exists():
        raise InvalidRequest(f"there is no key called {name!r}; {typed('keys ls')} lists them")
    path.unlink()
    durable.fsync(path.parent)


def _path(root: Path, name: str) -> Path:
    return root / KEYS / f"{name}.json"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _read(path: Path) -> Key | None:
    try:
        return Key(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
