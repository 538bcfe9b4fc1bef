"""What every route needs: the spool, the settings, the uploads that arrive, the open streams, the last statuses."""

from __future__ import annotations

from starlette.requests import Request

from httpd.blanks import Blanks
from httpd.config import HttpConfig
from httpd.feed import Feed
from httpd.glance import Glances
from httpd.ledger import Ledger
from spool.spool import Spool


def spool_of(request: Request) -> Spool:
    """The spool this server writes to and reads from."""
    spool: Spool = request.app.state.spool
    return spool


def config_of(request: Request) -> HttpConfig:
    """This server's settings."""
    config: HttpConfig = request.app.state.config
    return config


def ledger_of(request: Request) -> Ledger:
    """What callers upload, as far as this process sees it."""
    ledger: Ledger = request.app.state.ledger
    return ledger


def blanks_of(request: Request) -> Blanks:
    """The pictures of which no small one could be made lately."""
    blanks: Blanks = request.app.state.blanks
    return blanks


def glances_of(request: Request) -> Glances:
    """The statuses that were told last."""
    glances: Glances = request.app.state.glances
    return glances


def feed_of(request: Request) -> Feed:
    """The spool's changes, for streams."""
    feed: Feed = request.app.state.feed
    return feed
