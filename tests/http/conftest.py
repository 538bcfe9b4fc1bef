"""What the tests of the HTTP server share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server to which webhooks go."""
    with receiving() as made:
        yield made
