"""Who may call: the Host that was meant, the web page that asks, and the key that was sent.

One pure ASGI layer before the routes. It leaves the caller in the request's state; what a caller may do with one
job is for the route to say.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from httpd.config import HttpConfig
from httpd.errors import answer
from spool import command, keys
from spool.errors import SpoolError

OPEN_PATHS = ("/", "/health", "/ready", "/docs", "/openapi.json")
"""What answers without a key: that the service is there, and how it is spoken to. Nothing of any job."""
PAGE = "/page/"
"""The files of the web page. They hold no job; the page asks its reader for the key."""
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request. `name` is `key:<name>`, an address, or empty for this machine's own people."""

    name: str
    role: str

    @property
    def is_admin(self) -> bool:
        return self.role == keys.ADMIN


def caller_of(request: Request) -> Caller:
    """Who sent this request, as `Access` found."""
    caller: Caller = request.state.caller
    return caller


class NoKeys(SpoolError):
    """The server would be open to a network: it must not start."""


def needs_key(config: HttpConfig, listener: socket.socket) -> bool:
    """Whether callers of a server that listens there need a key. Raises NoKeys where they do and none exists."""
    needed = config.require_key == "true" or (config.require_key == "auto" and not _is_private(listener))
    if needed and not keys.listing(config.spool):
        raise NoKeys(
            f"{listener.getsockname()[0]} can be reached from other machines, or PROTOSCALE_REQUIRE_KEY is true, and "
            f"there is no API key: make one ({command.typed('keys create NAME --role submit')}), listen on "
            "127.0.0.1, or set PROTOSCALE_REQUIRE_KEY=false where something in front of this server keeps strangers "
            "out"
        )
    return needed


def _is_private(listener: socket.socket) -> bool:
    if listener.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


class Access:
    """Refuses before a route runs: 400 for a strange Host, 403 for a strange page, 401 and 403 by key."""

    def __init__(self, app: ASGIApp, config: HttpConfig, require_key: bool) -> None:
        self.app = app
        self._config = config
        self._require_key = require_key
        own = socket.gethostname().lower()
        self.knows = lru_cache(self._knows)
        self._hosts = {"localhost", own, f"{own}.local", config.host.lower(), *config.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        respond = self._refusal(scope) if scope["type"] == "http" else None
        await (respond or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        # One pass over the headers instead of one for each that is asked for; of two with one name the first counts.
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        host = _text(headers, b"host")
        if host and not self.knows(host):
            # A page that points its own name at 127.0.0.1 would otherwise be read as this server's own page.
            return answer(
                400, f"this server is not called {host!r}; if it is, name it in PROTOSCALE_ALLOWED_HOSTS"
            )
        origin = _text(headers, b"origin")
        if origin and scope["method"] not in SAFE and not self._is_welcome(origin, host):
            return answer(403, f"pages of {origin} may not do this; name it in CORS_ORIGINS if they may")
        return self._refusal_by_key(scope, _token(headers))

    def _refusal_by_key(self, scope: Scope, token: str) -> ASGIApp | None:
        key = keys.check(self._config.spool, token) if token else None
        if key is None and (token or self._require_key) and not _is_open(scope["path"]):
            return answer(
                401,
                "this key is not known; it may have been revoked"
                if token
                else "send an API key in X-API-Key",
                {"WWW-Authenticate": "Bearer"},
            )
        role = role_for(scope["method"])
        if key and not key.may(role) and not _is_open(scope["path"]):
            return answer(403, f"key {key.name!r} has the role {key.role}; this needs {role}")
        scope.setdefault("state", {})["caller"] = _caller(scope, key)
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._hosts or name.endswith(".localhost") or "*" in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return any(known.startswith("*.") and name.endswith(known[1:]) for known in self._hosts)
        return True  # an address is no name that a stranger could have pointed here

    def _is_welcome(self, origin: str, host: str) -> bool:
        allowed = self._config.cors_origins
        if origin.rstrip("/") in allowed or "*" in allowed:
            return True
        try:
            return urlsplit(origin).netloc == host
        except ValueError:
            return False  # `http://[`: whoever sent it, no page of ours


def role_for(method: str) -> str:
    """The role that a method needs. Deleting needs `submit` here; whose job it is, is for the route."""
    return keys.READ if method in SAFE else keys.SUBMIT


def _is_open(path: str) -> bool:
    """Whether that is answered without a key."""
    return path in OPEN_PATHS or path.startswith(PAGE)


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    """A header; empty where it was not sent."""
    value = headers.get(name)
    return value.decode("latin-1") if value else ""


def _token(headers: Mapping[bytes, bytes]) -> str:
    """The key that was sent; empty where none was."""
    own = _text(headers, b"x-api-key")
    if own:
        return own
    scheme, _, token = _text(headers, b"authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _caller(scope: Scope, key: keys.Key | None) -> Caller:
    if key:
        return Caller(f"key:{key.name}", key.role)
    client = scope.get("client")
    return _without_key(client[0] if client else "")


@lru_cache
def _without_key(address: str) -> Caller:
    """Where no key is needed, everybody who gets here is trusted with everything, as on the command line."""
    return Caller("" if _is_own(address) else address, keys.ADMIN)


def _is_own(address: str) -> bool:
    """Whether that is this machine, or a socket in its file system."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return not address
