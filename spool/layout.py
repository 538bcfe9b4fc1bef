"""The names on disk: folders, stages and products."""

from __future__ import annotations

from dataclasses import dataclass

INBOX = "inbox"
GEOMETRY = "geometry"
TEXTURE = "texture"
DONE = "done"
FAILED = "failed"
HELD = "held"
RUNNING = "running"
TMP = "tmp"

FOLDERS = (INBOX, GEOMETRY, TEXTURE, DONE, FAILED, HELD, RUNNING, TMP)

REQUEST = "request.json"
STATUS = "status.json"
ATTEMPTS = "attempts.json"
TROUBLE = "trouble.json"
CANCEL = "cancel"
LOG = "job.log"

CUTOUT_PNG = "cutout.png"
GEOMETRY_GLB = "geometry.glb"
MODEL_GLB = "model.glb"
ANALYSIS = "analysis.json"
VIEWS = ("view_0.png", "view_1.png", "view_2.png", "view_3.png")

PRODUCTS = (CUTOUT_PNG, GEOMETRY_GLB, *VIEWS, MODEL_GLB, ANALYSIS)

QUALITIES = ("draft", "balanced", "high", "ultra")
DEFAULT_QUALITY = "high"


@dataclass(frozen=True)
class Stage:
    """One step of a job's life: jobs wait for it in `folder`."""

    name: str
    folder: str


STAGES = (Stage("cutout", INBOX), Stage("geometry", GEOMETRY), Stage("texture", TEXTURE))
STAGE_OF_FOLDER = {stage.folder: stage for stage in STAGES}
STAGE_NAMED = {stage.name: stage for stage in STAGES}
