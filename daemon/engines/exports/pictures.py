"""Pictures of a finished model: a turntable and a contact sheet, drawn on the CPU."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from trimesh import Trimesh

from daemon.contact_sheet import TILE, contact_sheet
from daemon.decoding import decode
from daemon.engines import views

FRAMES, FRAME_MS, SIZE = 36, 80, 480
_ANY_PIXELS, _ANY_SIDE = 1 << 30, 1 << 16
"""The photo was let in when the job was made; here only the memory limit counts."""
_GROUND = (242, 242, 240, 255)


def turntable(mesh: Trimesh) -> bytes:
    """An animated WebP that goes round once: 36 frames of 480 x 480 pixels in 2.9 seconds, without end.

    It begins with the front. The frame is as wide as the widest turn needs, so nothing is cut and nothing jumps.
    """
    frames = []
    for pixels in views.render_around(mesh, [360.0 * at / FRAMES for at in range(FRAMES)], SIZE):
        ground = Image.new("RGBA", (SIZE, SIZE), _GROUND)
        ground.alpha_composite(Image.fromarray(pixels))
        frames.append(ground.convert("RGB"))
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=FRAME_MS,
        loop=0,
        quality=85,
        method=3,
    )
    return buffer.getvalue()


def sheet(photo: Path, cutout: Path, mesh: Trimesh, title: str, analysis: Mapping[str, Any]) -> bytes:
    """A PNG with the photo, the cut-out, four views and a few words.

    Raises BadJob where the photo cannot be decoded; it is a stranger's file, so that is done in a confined process.
    """
    pictures = [Image.fromarray(np.asarray(view)) for view in views.render_views(mesh)]
    words = [
        title,
        f"engine {analysis.get('engine', 'unknown')}",
        f"quality {analysis.get('quality', 'unknown')}",
    ]
    words += [f"{analysis.get('faces', len(mesh.faces)):,} faces"]
    if "watertight" in analysis:
        words += ["watertight" if analysis["watertight"] else "not watertight"]
    caption = ", ".join(words) + "\nSides that the photo does not show are inferred."
    seen = decode(photo, _ANY_PIXELS, _ANY_SIDE, 1, TILE)
    with Image.open(cutout) as cut:
        made = contact_sheet(seen, cut, pictures, caption)
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return buffer.getvalue()
