"""The application: every route on one page."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from httpd import errors, exports, health, jobs, results, uploads
from httpd.config import HttpConfig
from spool.errors import SpoolError
from spool.spool import Spool

ROUTES = (
    Route("/", health.entry_points),
    Route("/health", health.health),
    Route("/api/upload", uploads.upload, methods=["POST"]),
    Route("/api/jobs", jobs.listing),
    Route("/api/jobs/metrics/gpu", health.metrics_gpu),
    Route("/api/jobs/{job_id}", jobs.status),
    Route("/api/jobs/{job_id}", jobs.delete, methods=["DELETE"]),
    Route("/api/jobs/{job_id}/status", jobs.status),
    Route("/api/jobs/{job_id}/generate-multiangle", jobs.generate_multiangle, methods=["POST"]),
    Route("/api/jobs/{job_id}/generate-3d", jobs.generate_3d, methods=["POST"]),
    Route("/api/jobs/{job_id}/cancel", jobs.cancel, methods=["POST"]),
    Route("/api/jobs/{job_id}/retry", jobs.retry, methods=["POST"]),
    Route("/api/jobs/{job_id}/thumbnail", results.thumbnail),
    Route("/api/jobs/{job_id}/report", exports.report),
    Route("/api/jobs/{job_id}/result/{asset}", results.result),
)


def create_app(config: HttpConfig) -> Starlette:
    """The application over the spool that `config` names. Raises SpoolUnusable."""
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(config.cors_origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Link", "ETag", "Content-Disposition"],
    )
    app = Starlette(
        routes=list(ROUTES),
        middleware=[cors] if config.cors_origins else [],
        exception_handlers={
            SpoolError: errors.spool_error,
            HTTPException: errors.http_error,
            OSError: errors.os_error,
            Exception: errors.bug,
        },
    )
    app.state.config = config
    app.state.spool = Spool.open(config.spool)
    return app
