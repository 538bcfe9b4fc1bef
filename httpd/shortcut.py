"""The one call that clients make again and again, answered before the router is asked.

From a middleware to a route it is a long way: two layers for exceptions, a walk along the routes, a `Request`, and
each piece of the answer back through all of them. That costs more than to tell a status that still holds. Whatever is
not that, and every kind of trouble, goes the long way and is answered there.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from httpd import jobs
from httpd.answers import Answer
from httpd.glance import Glances

_STATUS = re.compile(r"/api/jobs/([^/]+)/status")


class Shortcut:
    """A layer inside all others: who may not ask was refused before."""

    def __init__(self, app: ASGIApp, glances: Glances) -> None:
        self.app = app
        self._glances = glances

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        respond = self._again(scope) if scope["type"] == "http" else None
        await (respond or self.app)(scope, receive, send)

    def _again(self, scope: Scope) -> Answer | None:
        asked = _STATUS.fullmatch(scope["path"]) if scope["method"] == "GET" else None
        if not asked:
            return None
        try:
            answer = self._glances.again(asked[1])
        except OSError:
            return None  # the route meets it as well, and there it is told for what it is
        if answer:
            scope["endpoint"] = jobs.status  # it is counted as the call that it is
        return answer
