"""The HTTP server's settings (see the table in README.md)."""

from __future__ import annotations

from dataclasses import dataclass

from spool.settings import SpoolSettings, number, setting, size, whole


def _origins(text: str) -> tuple[str, ...]:
    """Origins with commas, `*` for all. Raises ValueError for what is no origin."""
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise ValueError(text)
    return origins


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
