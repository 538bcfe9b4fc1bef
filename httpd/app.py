"""The application: every route on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp

from httpd import (
    batch,
    docs,
    errors,
    events,
    exports,
    health,
    jobs,
    metrics,
    page,
    queue,
    results,
    tencent,
    uploads,
)
from httpd.access import Access
from httpd.blanks import Blanks
from httpd.config import HttpConfig
from httpd.feed import Feed
from httpd.glance import Glances
from httpd.ledger import Ledger
from httpd.shortcut import Shortcut
from httpd.traffic import Counts, Traffic
from spool.errors import SpoolError
from spool.spool import Spool

GZIP = Middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
"""For long texts. Pictures are compressed already, and a model must answer ranges."""

EXPOSED = (
    *("Content-Disposition", "ETag", "Idempotency-Replayed", "Link", "Location", "Preference-Applied"),
    *("Retry-After", "X-Request-ID"),
)
"""Headers that a page of another origin may read, beside those that every page may."""

ROUTES = (
    # First, because it is what clients ask most (`httpd.shortcut`).
    Route("/api/jobs/{job_id}/status", jobs.status),
    Route("/", page.home),
    Route("/page/{file:path}", page.file),
    Route("/health", health.health),
    Route("/ready", health.ready),
    Route("/metrics", metrics.metrics, middleware=[GZIP]),
    Route("/openapi.json", docs.openapi, middleware=[GZIP]),
    Route("/docs", docs.page, middleware=[GZIP]),
    Route("/api/upload", uploads.upload, methods=["POST"]),
    Route("/api/batch", batch.batch, methods=["POST"]),
    Route("/api/queue", queue.look, middleware=[GZIP]),
    Route("/api/queue/pause", queue.pause, methods=["POST"]),
    Route("/api/queue/resume", queue.resume, methods=["POST"]),
    Route("/api/jobs", jobs.listing, middleware=[GZIP]),
    Route("/api/jobs/metrics/gpu", health.metrics_gpu),
    Route("/api/jobs/{job_id}", jobs.one, methods=["GET", "DELETE"]),
    Route("/api/jobs/{job_id}/events", events.job_events),
    Route("/api/events", events.events),
    Route("/api/jobs/{job_id}/generate-multiangle", jobs.generate_multiangle, methods=["POST"]),
    Route("/api/jobs/{job_id}/generate-3d", jobs.generate_3d, methods=["POST"]),
    Route("/api/jobs/{job_id}/cancel", jobs.cancel, methods=["POST"]),
    Route("/api/jobs/{job_id}/retry", jobs.retry, methods=["POST"]),
    Route("/api/jobs/{job_id}/priority", queue.priority, methods=["POST"]),
    Route("/generate", tencent.generate, methods=["POST"]),
    Route("/send", tencent.send, methods=["POST"]),
    Route("/status/{uid}", tencent.status),
    Route("/api/jobs/{job_id}/thumbnail", results.thumbnail),
    Route("/api/jobs/{job_id}/photo", results.photo),
    Route("/api/jobs/{job_id}/report", exports.report),
    Route("/api/jobs/{job_id}/result/{asset}", results.result),
)


class App(Starlette):
    """Starlette with what every answer needs around all of it, so that one for our own mistake has it too."""

    def __init__(self, *, around: Sequence[Middleware], **options: Any) -> None:
        self._around = around
        super().__init__(**options)

    def build_middleware_stack(self) -> ASGIApp:
        """Starlette puts the layer for mistakes outside of all others: a 500 would have no id, and no CORS."""
        app = super().build_middleware_stack()
        for layer, positional, named in reversed(self._around):
            app = layer(app, *positional, **named)
        return app


def create_app(config: HttpConfig, *, require_key: bool | None = None) -> Starlette:
    """The application over the spool that `config` names. Raises SpoolUnusable.

    `require_key` is what `access.needs_key` found for the address it will listen on; left out, it follows the
    setting alone.
    """
    demanded = config.require_key == "true" if require_key is None else require_key
    counts = Counts()
    traffic = Middleware(Traffic, counts=counts)
    access = Middleware(
        Access,
        config=config,
        require_key=demanded,
    )
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(config.cors_origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )
    spool = Spool.open(config.spool)
    glances = Glances(spool)
    shortcut = Middleware(Shortcut, glances=glances)
    app = App(
        around=[traffic, *([cors] if config.cors_origins else [])],
        routes=list(ROUTES),
        middleware=[access, shortcut],
        exception_handlers={
            SpoolError: errors.spool_error,
            HTTPException: errors.http_error,
            ClientDisconnect: errors.gone,
            OSError: errors.os_error,
            Exception: errors.bug,
        },
    )
    app.state.config = config
    app.state.require_key = demanded
    app.state.counts = counts
    app.state.spool = spool
    app.state.ledger = Ledger()
    app.state.feed = Feed(spool)
    app.state.blanks = Blanks()
    app.state.glances = glances
    return app
