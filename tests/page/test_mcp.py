"""`protoscale mcp` before a real MCP client, over stdio, with the real service behind it."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from PIL import Image

from spool.spool import Spool
from tests.page.browser import red
from tests.service import ROOT, running
from tests.support import picture

COFFEE = ROOT / "examples" / "coffee.png"
PATIENCE = 180


def parameters(spool: Path) -> StdioServerParameters:
    environ = {"PATH": os.environ["PATH"], "PROTOSCALE_SPOOL": str(spool), "PROTOSCALE_RESERVE": "1M"}
    return StdioServerParameters(
        command=sys.executable, args=["-m", "daemon.cli", "mcp"], env=environ, cwd=ROOT
    )


def text(answer: Any) -> Any:
    assert not answer.is_error, answer.content
    return json.loads(answer.content[0].text)


@pytest.mark.service
def test_an_assistant_makes_a_model(tmp_path: Path, u2net_home: Path) -> None:
    steps: list[tuple[float, str | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        assert total == 100
        steps.append((progress, message))

    async def session() -> None:
        with anyio.fail_after(PATIENCE):
            async with Client(stdio_client(parameters(tmp_path / "spool"))) as client:
                tools = {tool.name: tool for tool in (await client.list_tools()).tools}
                assert set(tools) == {"make_model", "list_jobs", "get_queue", "get_result"}
                assert tools["make_model"].input_schema["required"] == ["image_path"]

                wanted = {
                    "image_path": str(COFFEE),
                    "quality": "draft",
                    "priority": "high",
                    "tags": ["table", "cup"],
                }
                made = await client.call_tool("make_model", wanted, progress_callback=heard)
                told = text(made)
                assert (told["status"], told["engine"]) == ("completed", "silhouette")
                assert (told["priority"], told["tags"]) == ("high", ["table", "cup"])
                for tag, count in (("cup", 1), ("bowl", 0)):
                    by_tag = await client.call_tool("list_jobs", {"tag": tag})
                    assert len(by_tag.structured_content["result"]) == count
                waits = (await client.call_tool("get_queue", {})).structured_content
                assert waits["counts"]["running"] == 0 and waits["waiting"] == []
                assert Path(told["files"]["model.glb"]).read_bytes()[:4] == b"glTF"
                shown = made.content[1]
                assert shown.type == "image" and shown.mime_type == "image/jpeg"
                with Image.open(io.BytesIO(base64.b64decode(shown.data))) as sheet:
                    assert sheet.size == (1024, 1024)
                    assert red(np.asarray(sheet, np.int16)[:512, :512]) > 0.05  # the cup from the front

                (listed,) = (await client.call_tool("list_jobs", {})).structured_content["result"]
                assert (listed["job_id"], listed["name"]) == (told["job_id"], "coffee.png")
                again = await client.call_tool("get_result", {"job_id": told["job_id"][-8:]})
                assert text(again)["job_id"] == told["job_id"]
                assert again.content[1] == shown

    with running(tmp_path / "spool", u2net_home, "--no-http"):
        anyio.run(session)
    assert steps and [progress for progress, _ in steps] == sorted(progress for progress, _ in steps)


def test_what_it_cannot_do_is_said_in_words(tmp_path: Path) -> None:
    text_file, photo = tmp_path / "notes.txt", tmp_path / "photo.png"
    text_file.write_text("no picture")
    photo.write_bytes(picture())

    async def session() -> None:
        with anyio.fail_after(PATIENCE):
            async with Client(stdio_client(parameters(tmp_path / "spool"))) as client:

                async def refused(tool: str, **arguments: Any) -> str:
                    answer = await client.call_tool(tool, arguments)
                    assert answer.is_error
                    return str(getattr(answer.content[0], "text", ""))

                assert "not a picture" in await refused("make_model", image_path=str(text_file))
                assert "No such file" in await refused("make_model", image_path=str(tmp_path / "no.png"))
                assert "quality" in await refused("make_model", image_path=str(photo), quality="best")
                assert "seed" in await refused("make_model", image_path=str(photo), seed=-1)
                assert "ffff" in await refused("get_result", job_id="ffffffff")
                # Nobody works here: the job is queued, kept, and the answer says what is missing.
                queued = text(await client.call_tool("make_model", {"image_path": str(photo)}))
                assert queued["status"] == "pending" and "protoscale run" in queued["next"]
                assert Spool(tmp_path / "spool").waiting("inbox") == [queued["job_id"]]

    anyio.run(session)
