"""The least that Starlette can do: one route that reads one file and sends it.

python -m benchmarks.bare PORT FILE LOOP PARSER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def main() -> None:
    """Serve until stopped."""
    port, name, loop, parser = sys.argv[1:]
    file, how = Path(name), {"loop": loop, "http": parser}

    async def read(request: Request) -> Response:
        return Response(file.read_bytes(), media_type="application/json")

    app = Starlette(routes=[Route("/api/jobs/{job_id}/status", read)])
    options: dict[str, Any] = {"log_level": "error", "access_log": False, **how}
    uvicorn.run(app, port=int(port), **options)


if __name__ == "__main__":
    main()
