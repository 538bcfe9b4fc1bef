"""The HTTP server's settings (see the table in README.md)."""

from __future__ import annotations

from dataclasses import dataclass

from httpd.destination import check_url
from spool.errors import InvalidRequest
from spool.settings import SpoolSettings, WrongSetting, flag, number, one_of, setting, size, whole


def _origins(text: str) -> tuple[str, ...]:
    """Origins with commas, `*` for all. Raises ValueError for what is no origin."""
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise ValueError(text)
    return origins


def _hosts(text: str) -> tuple[str, ...]:
    """Host names with commas. Raises ValueError for an origin or a path."""
    hosts = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if any("/" in host or ":" in host for host in hosts):
        raise ValueError(text)
    return hosts


@dataclass(frozen=True)
class HttpConfig(SpoolSettings):
    """Everything the HTTP server can be told."""

    host: str = setting(
        "PROTOSCALE_HOST", "127.0.0.1", "an address", str, "Address the HTTP server listens on."
    )
    port: int = setting("PROTOSCALE_PORT", "8077", "1 to 65535", whole(1, 65535), "Port of the HTTP server.")
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS",
        "",
        "origins such as https://app.example, with commas; * for all",
        _origins,
        "Web pages of these origins may call the API.",
    )
    max_upload: int = setting(
        "PROTOSCALE_MAX_UPLOAD",
        "32M",
        "bytes, with K, M, G or T",
        size,
        "Largest upload accepted (413 above).",
    )
    require_key: str = setting(
        "PROTOSCALE_REQUIRE_KEY",
        "auto",
        "auto, true or false",
        one_of("auto", "true", "false"),
        "Whether callers need an API key; `auto`: only where other machines can reach the server.",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "PROTOSCALE_ALLOWED_HOSTS",
        "",
        "names such as models.example or *.example, with commas; * for all",
        _hosts,
        "Names this server answers to, besides localhost, its own name and addresses (400 for others).",
    )
    max_queue: int = setting(
        "PROTOSCALE_MAX_QUEUE",
        "10000",
        "jobs; 0 for no limit",
        whole(0),
        "Jobs that may wait; more are refused (503 with Retry-After).",
    )
    client_queue: int = setting(
        "PROTOSCALE_CLIENT_QUEUE",
        "100",
        "jobs; 0 for no limit",
        whole(0),
        "Unfinished jobs of one key or address; more are refused (429). Not for loopback without a key.",
    )
    client_uploads: int = setting(
        "PROTOSCALE_CLIENT_UPLOADS",
        "60",
        "uploads a minute; 0 for no limit",
        whole(0),
        "Uploads a minute of one key or address, per HTTP process (429).",
    )
    client_bytes: int = setting(
        "PROTOSCALE_CLIENT_BYTES",
        "1G",
        "bytes a minute, with K, M, G or T; 0 for no limit",
        size,
        "Bytes a minute that one key or address may upload, per HTTP process (429).",
    )
    max_streams: int = setting(
        "PROTOSCALE_MAX_STREAMS",
        "1000",
        "streams; 0 for no limit",
        whole(0),
        "Event streams open at once, per HTTP process; more are refused (503).",
    )
    callback_hosts: tuple[str, ...] = setting(
        "PROTOSCALE_CALLBACK_HOSTS",
        "",
        "names such as hooks.example or *.example, with commas",
        _hosts,
        "Hosts that webhooks may go to; empty turns webhooks off.",
    )
    callback_url: str = setting(
        "PROTOSCALE_CALLBACK_URL",
        "",
        "an http or https address",
        str,
        "Webhook for every job that names no `callback_url` of its own.",
    )
    callback_secret: str = setting(
        "PROTOSCALE_CALLBACK_SECRET",
        "",
        "at least 16 characters",
        str,
        "What webhooks are signed with; needed where they are on.",
    )
    callback_private: bool = setting(
        "PROTOSCALE_CALLBACK_PRIVATE",
        "false",
        "true or false",
        flag,
        "Whether webhooks may go to private addresses (10.0.0.0/8, loopback, ...).",
    )
    header_timeout: float = setting(
        "PROTOSCALE_HEADER_TIMEOUT",
        "10",
        "seconds, at least 0.1",
        number(0.1),
        "How long a client may take for the head of a request (408, connection closed).",
    )
    body_timeout: float = setting(
        "PROTOSCALE_BODY_TIMEOUT",
        "30",
        "seconds, at least 0.1",
        number(0.1),
        "Longest pause within a body; over a longer time it must make 8 KiB a second (408).",
    )
    export_limit: int = setting(
        "PROTOSCALE_EXPORT_LIMIT",
        "300",
        "seconds from 1 to 86400",
        whole(1, 86400),
        "An export or print report that takes longer is given up (503).",
    )
    export_memory: int = setting(
        "PROTOSCALE_EXPORT_MEMORY",
        "4G",
        "bytes, with K, M, G or T; 0 for no limit",
        size,
        "Memory that the process of one export may hold.",
    )

    def __post_init__(self) -> None:
        if self.callback_hosts and len(self.callback_secret) < 16:
            raise WrongSetting(
                "PROTOSCALE_CALLBACK_HOSTS needs a PROTOSCALE_CALLBACK_SECRET of at least 16 characters"
            )
        if self.callback_url and not self.callback_hosts:
            raise WrongSetting("PROTOSCALE_CALLBACK_URL needs its host in PROTOSCALE_CALLBACK_HOSTS")
        if self.callback_url:
            try:
                check_url(self.callback_url, self.callback_hosts)
            except InvalidRequest as error:
                raise WrongSetting(f"PROTOSCALE_CALLBACK_URL is no place for a webhook: {error}") from None
