"""The one build step beyond setup.cfg: three.js for the page's viewer goes into the wheel (see httpd/viewer.py)."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # a build's own environment does not hold the project

from httpd import viewer  # noqa: E402


class BuildPy(build_py):
    """Fetches the viewer before the package's files are collected; a build without a network goes on without it."""

    def run(self) -> None:
        """Fetch, then build."""
        try:
            viewer.fetch()
        except (viewer.NotFetched, OSError) as error:
            print(f"warning: the page will have no 3D viewer: {error}", file=sys.stderr)
        super().run()


setup(cmdclass={"build_py": BuildPy})
