"""The least that Starlette can do: one route that reads one file and sends it.

python -m benchmarks.bare PORT FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from httpd.__main__ import LOOP


def main() -> None:
    """Serve until stopped, on the same loop and protocol as ours."""
    file = Path(sys.argv[2])

    async def read(request: Request) -> Response:
        return Response(file.read_bytes(), media_type="application/json")

    app = Starlette(routes=[Route("/api/jobs/{job_id}/status", read)])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, loop=LOOP, http="httptools")


if __name__ == "__main__":
    main()
