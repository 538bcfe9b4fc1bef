"""The HTTP server's settings (see the table in README.md)."""

from __future__ import annotations

from dataclasses import dataclass

from spool.settings import SpoolSettings, setting, size, whole


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
