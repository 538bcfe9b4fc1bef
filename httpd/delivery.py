"""One webhook sent: signed, to an address that was looked at before it was connected to.

The signature is that of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over id, timestamp and body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import ssl
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

from httpd.config import HttpConfig
from httpd.destination import check_url
from spool.errors import InvalidRequest

SECONDS = 10.0
"""For each step of the exchange: connecting, sending, the answer."""


class NotDelivered(Exception):
    """This try failed; its text says why."""


def signed(secret: str, job_id: str, state: str, body: bytes, now: int) -> dict[str, str]:
    """The headers of a webhook. The id is the same for every try of one state, so that a receiver can tell."""
    webhook_id = f"{job_id}.{state}"
    digest = hmac.digest(secret.encode(), f"{webhook_id}.{now}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "User-Agent": "ProtoScale",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def deliver(url: str, told: dict[str, Any], state: str, config: HttpConfig) -> None:
    """POST a job's status object. Raises NotDelivered for anything but a 2xx answer; redirects are not followed."""
    body = json.dumps({"type": f"job.{told['status']}", "data": told}).encode()
    headers = signed(config.callback_secret, told["job_id"], state, body, int(time.time()))
    try:
        check_url(url, config.callback_hosts)  # the list may have changed since the job came
        split = urlsplit(url)
        connection = _connection(split, _address(split, config))
        try:
            connection.request("POST", split._replace(scheme="", netloc="").geturl() or "/", body, headers)
            code = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException, InvalidRequest) as error:
        raise NotDelivered(str(error) or type(error).__name__) from None
    if not 200 <= code < 300:
        raise NotDelivered(f"the receiver answered {code}")


def _address(split: SplitResult, config: HttpConfig) -> str:
    """The address to connect to. Every one that the name has must be allowed: a name can have several."""
    port = split.port or (443 if split.scheme == "https" else 80)
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(split.hostname, port, type=socket.SOCK_STREAM)]
    private = [one for one in found if not ipaddress.ip_address(one.partition("%")[0]).is_global]
    if private and not config.callback_private:
        raise NotDelivered(
            f"{split.hostname} is {private[0]}, not a public address (PROTOSCALE_CALLBACK_PRIVATE)"
        )
    return found[0]


def _connection(split: SplitResult, address: str) -> http.client.HTTPConnection:
    """A connection to `address` that speaks to the host of the URL.

    Connected here, not by name in http.client: the name might mean another address the second time it is asked.
    """
    secure = split.scheme == "https"
    port = split.port or (443 if secure else 80)
    connection = http.client.HTTPConnection(split.hostname or "", port, timeout=SECONDS)
    plain = socket.create_connection((address, port), SECONDS)
    if secure:
        try:
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=split.hostname)
        except BaseException:
            plain.close()
            raise
    connection.sock = plain
    return connection
