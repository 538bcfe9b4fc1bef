"""Where webhooks may go: the form of an address, and the hosts that the operator names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from spool.errors import InvalidRequest

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
"""What the resolver takes for a name or an IPv4 address: it raises UnicodeError for empty and overlong labels."""


def check_url(url: str, hosts: Sequence[str]) -> None:
    """Refuse an address that no webhook may go to: `hosts` are names, or `*.name`. Raises InvalidRequest."""
    if not hosts:
        raise InvalidRequest(
            "callback_url: webhooks are off here; the operator names hosts in PROTOSCALE_CALLBACK_HOSTS"
        )
    try:
        split = urlsplit(url)
        host, _ = (split.hostname or "").lower(), split.port
    except ValueError:
        raise InvalidRequest(f"callback_url {url!r} is not an address") from None
    if (
        split.scheme not in ("http", "https")
        or not _HOST.fullmatch(host)
        or split.username
        or not url.isascii()
        or len(url) > 1000
    ):
        raise InvalidRequest(f"callback_url {url!r} is not a plain http or https address")
    if host not in hosts and not any(one.startswith("*.") and host.endswith(one[1:]) for one in hosts):
        raise InvalidRequest(f"callback_url: {host} is not among PROTOSCALE_CALLBACK_HOSTS")
