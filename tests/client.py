"""Who asks the API, and the worker that the tests of the API play themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from starlette.testclient import TestClient

from httpd.app import create_app
from httpd.config import HttpConfig
from spool import layout
from spool.settings import read
from spool.spool import Spool
from tests.support import picture


def client_of(root: Path, **environ: str) -> TestClient:
    """A client of a server of this spool, in this process; what the server raises is a 500."""
    config = read(HttpConfig, {"PROTOSCALE_SPOOL": str(root), "PROTOSCALE_RESERVE": "1M", **environ})
    return TestClient(create_app(config), base_url="http://127.0.0.1:8077", raise_server_exceptions=False)


def upload(client: TestClient, content: bytes | None = None, name: str = "photo.png", **fields: Any) -> Any:
    """The answer to a photo that is sent with these fields."""
    return client.post(
        "/api/upload", files={"file": (name, picture() if content is None else content)}, data=fields
    )


def make(spool: Spool, *products: str, folder: str = "inbox") -> str:
    """One worker's turn: claim what waits, publish products, move on."""
    job = spool.claim(folder, "w")
    assert job
    for product in products:
        if product.endswith(".png"):
            Image.new("RGBA", (300, 200), (200, 30, 30, 255)).save(job.path / product)
        else:
            (job.path / product).write_bytes(f"bytes of {product}".encode())
    return spool.advance(job)


ALL = (layout.CUTOUT_PNG, layout.GEOMETRY_GLB, *layout.VIEWS, layout.ANALYSIS, layout.MODEL_GLB)
