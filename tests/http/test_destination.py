"""Where webhooks may go, and that they go nowhere unless turned on."""

from __future__ import annotations

import socket

import pytest

from httpd.config import HttpConfig
from httpd.delivery import NotDelivered, deliver
from spool import callbacks
from spool.settings import WrongSetting, read
from spool.spool import Spool
from tests.client import client_of, upload
from tests.http.receiver import ON, Receiver


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://user@hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "http://[",
        "http://hooks.example:x/",
        "lab.example",
        "http://a..lab.example/",
        f"http://{64 * 'a'}.lab.example/",
        f"http://{130 * 'a.'}lab.example/",
    ],
)
def test_addresses_outside_the_list_are_refused(spool: Spool, url: str) -> None:
    answer = upload(client_of(spool.root, **ON), callback_url=url)
    assert (answer.status_code, "callback_url" in answer.json()["detail"]) == (422, True)
    assert callbacks.owed(spool.root) == []


def test_a_name_that_no_resolver_takes_is_not_delivered_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promises of an earlier version may hold one, and the resolver has its own mind."""

    def refuse(*_: object, **__: object) -> None:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    config = read(HttpConfig, {"PROTOSCALE_SPOOL": "/x", **ON})
    with pytest.raises(NotDelivered, match="label too long"):
        deliver("http://hooks.example/", {"job_id": "x", "status": "completed"}, "done", config)
    with pytest.raises(NotDelivered, match="not a plain"):
        deliver("http://a..lab.example/", {"job_id": "x", "status": "completed"}, "done", config)


def test_private_addresses_are_refused_unless_allowed(spool: Spool, receiver: Receiver) -> None:
    told = {"job_id": "x", "status": "completed"}
    for url in (receiver.url, receiver.url.replace("127.0.0.1", "localhost")):
        config = read(HttpConfig, {"PROTOSCALE_SPOOL": "/x", **ON, "PROTOSCALE_CALLBACK_PRIVATE": "false"})
        with pytest.raises(NotDelivered, match="PROTOSCALE_CALLBACK_PRIVATE"):
            deliver(url, told, "done", config)
    assert receiver.got == []


def test_webhooks_are_off_unless_turned_on(spool: Spool) -> None:
    answer = upload(client_of(spool.root), callback_url="http://127.0.0.1/")
    assert (answer.status_code, "PROTOSCALE_CALLBACK_HOSTS" in answer.json()["detail"]) == (422, True)
    with pytest.raises(WrongSetting, match="SECRET"):
        client_of(spool.root, PROTOSCALE_CALLBACK_HOSTS="hooks.example")
    with pytest.raises(WrongSetting, match="HOSTS"):
        client_of(spool.root, PROTOSCALE_CALLBACK_URL="http://hooks.example")


@pytest.mark.parametrize(
    "url", ["ftp://hooks.example/", "http://elsewhere.example/", "nonsense", "http://a..lab.example"]
)
def test_a_configured_webhook_that_can_go_nowhere_is_an_error_at_start(url: str) -> None:
    with pytest.raises(WrongSetting, match=r"PROTOSCALE_CALLBACK_URL.*callback_url"):
        read(HttpConfig, {"PROTOSCALE_SPOOL": "/x", **ON, "PROTOSCALE_CALLBACK_URL": url})
