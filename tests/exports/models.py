"""Known models, and a finished job that holds one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from trimesh import Trimesh
from trimesh.visual.material import PBRMaterial

from daemon.engines import analysis, glb
from spool import layout
from spool.job import Job
from spool.spool import Spool
from tests.support import picture, submit

BOX = (0.4, 1.0, 0.2)
"""Width, height, depth in metres; its volume is 0.08 cubic metres. It stands 0.3 m off centre on every axis."""
OFFSET = 0.3
RED, BLUE = (220, 30, 40), (20, 60, 200)


def box() -> Trimesh:
    """A box whose six sides share no vertex, as along texture seams; its front is red and the rest blue."""
    plain = trimesh.creation.box(BOX)
    vertices = plain.vertices[plain.faces].reshape(-1, 3) + OFFSET
    faces = np.arange(len(vertices)).reshape(-1, 3)
    front = np.repeat(plain.face_normals[:, 2] > 0.5, 3)
    texture = Image.new("RGB", (64, 32), BLUE)
    texture.paste(RED, (0, 0, 32, 32))
    uv = np.column_stack([np.where(front, 0.25, 0.75), np.full(len(vertices), 0.5)])
    # Small triangles, so that each face has an area in the texture.
    uv += np.tile([[0, 0], [0.01, 0], [0, 0.01]], (len(faces), 1))
    packed = Image.new("RGB", (16, 16), (0, 180, 10))
    bumps = Image.new("RGB", (16, 16), (128, 128, 255))
    material = PBRMaterial(
        name="paint", baseColorTexture=texture, metallicRoughnessTexture=packed, normalTexture=bumps
    )
    return Trimesh(
        vertices, faces, process=False, visual=trimesh.visual.TextureVisuals(uv, material=material)
    )


def finished(root: Path, mesh: Trimesh) -> tuple[Spool, Job]:
    """A spool with one job in done/ whose model is `mesh`."""
    spool = Spool.open(root)
    spool.enlist("w")
    job_id = submit(spool).id
    job = spool.claim(layout.INBOX, "w")
    assert job
    (job.path / layout.CUTOUT_PNG).write_bytes(picture())
    extras = {"engine": "test", "quality": "draft"}
    (job.path / layout.GEOMETRY_GLB).write_bytes(glb.write_glb(mesh, {}))
    (job.path / layout.ANALYSIS).write_text(json.dumps({**analysis.analyse(mesh), **extras}))
    (job.path / layout.MODEL_GLB).write_bytes(glb.write_glb(mesh, dict(extras)))
    assert spool.advance(job) == layout.DONE
    return spool, spool.find(job_id).job
