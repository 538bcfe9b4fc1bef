"""A conversation with `protoscale mcp`, as an assistant has it: a real client, the real service, printed as it runs.

    python examples/mcp_session.py [PHOTO]

Needs the extra `mcp` and the background-removal model (`protoscale models pull u2netp`). docs/mcp.md shows what it
prints. The service runs on a spool of its own, which is gone at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters, stdio_client

ROOT = Path(__file__).resolve().parent.parent
COFFEE = ROOT / "examples" / "coffee.png"
LONGEST = 90


def main() -> int:
    """Start the service, talk, stop it."""
    photo = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else COFFEE
    with tempfile.TemporaryDirectory(prefix="protoscale-mcp-") as folder:
        environ = {
            **os.environ,
            "PROTOSCALE_SPOOL": f"{folder}/spool",
            "PROTOSCALE_LOG_LEVEL": "warning",
            "REMBG_MODEL": os.environ.get("REMBG_MODEL", "u2netp"),
        }
        command = [sys.executable, "-m", "daemon.cli"]
        service = subprocess.Popen([*command, "run", "--no-http"], env=environ, cwd=ROOT)
        try:
            wait_for_workers(command, environ)
            server = StdioServerParameters(
                command=command[0], args=[*command[1:], "mcp"], env=environ, cwd=ROOT
            )
            anyio.run(talk, server, photo)
        finally:
            service.terminate()
            service.wait()
    return 0


def wait_for_workers(command: list[str], environ: dict[str, str]) -> None:
    """Until the service says that every worker is ready. Raises SystemExit where it never does."""
    for _ in range(120):
        run = subprocess.run(
            [*command, "status", "--json"], env=environ, cwd=ROOT, capture_output=True, check=False
        )
        board = json.loads(run.stdout or b"{}").get("supervisor")
        if board and all(worker["state"] == "idle" for worker in board["workers"]):
            return
        time.sleep(0.5)
    raise SystemExit("the service did not start; see its message above")


async def talk(server: StdioServerParameters, photo: Path) -> None:
    """The tools, a model made of a photo, and what is told of it afterwards."""
    async with Client(stdio_client(server)) as client:
        for tool in (await client.list_tools()).tools:
            properties = tool.input_schema.get("properties", {})
            print(f"tool  {tool.name}({', '.join(properties)})")
            print(f"      {(tool.description or '').strip().splitlines()[0]}")

        said: list[str] = []

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            if message and message not in said:
                said.append(message)
                print(f"      {progress:3.0f} % {message}")

        wanted = {"image_path": str(photo), "quality": "draft", "priority": "high", "tags": ["table"]}
        call("make_model", wanted)
        made = await client.call_tool("make_model", wanted, progress_callback=heard)
        show(made)
        call("list_jobs", {"limit": 5, "tag": "table"})
        show(await client.call_tool("list_jobs", {"limit": 5, "tag": "table"}))
        call("get_queue", {})
        show(await client.call_tool("get_queue", {}))
        call("make_model", {"image_path": str(ROOT / "README.md")})
        show(await client.call_tool("make_model", {"image_path": str(ROOT / "README.md")}))


def call(tool: str, arguments: dict[str, Any]) -> None:
    told = json.dumps(arguments).replace(f"{ROOT}/", "")
    print(f"\nask   {tool} {told}")


def show(answer: Any) -> None:
    """An answer, shortened: texts to what a person reads of them, pictures to their size."""
    for part in answer.content:
        if part.type == "image":
            print(f"      a picture, {part.mime_type}, {len(part.data) * 3 // 4:,} bytes")
            continue
        word = "no" if answer.is_error else "said"
        for line in part.text.replace(f"{ROOT}/", "").splitlines()[:60]:
            print(f"{word:<5} {line}"[:LONGEST])
            word = ""


if __name__ == "__main__":
    sys.exit(main())
