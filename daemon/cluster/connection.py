"""Joining the Ray cluster, and refusing one in which strangers could be. Imports Ray; so do its callers only.

Whoever reaches the ports of a Ray cluster runs code on all its machines. So every machine must have a private
address, or the cluster must be guarded by TLS (`RAY_USE_TLS=1`) or a token (`RAY_AUTH_MODE=token`), or a person must
have said that it is all right.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable

import ray

from daemon.config import Config
from daemon.errors import DaemonError

NAMESPACE = "protoscale"
REACH_LIMIT = 5.0
"""Seconds to wait for the head's port to answer."""
_SHARED = ipaddress.ip_network("100.64.0.0/10")
"""Carrier-grade NAT and private overlays such as Tailscale's: not reachable from outside, not "private" by name."""


class NoCluster(DaemonError):
    """The cluster cannot be joined, or must not be; the text says what to do."""


def join(config: Config) -> str:
    """Connect this process, and return the id of the node it is on. Raises NoCluster."""
    address = config.cluster if config.cluster != "ray" else os.environ.get("RAY_ADDRESS") or "auto"
    if address.startswith("ray://"):
        raise NoCluster(
            f"{address} names a Ray Client server; give HOST:PORT of the head, and run "
            "`ray start --address HOST:PORT` on this machine too if the head is another one"
        )
    if address != "auto":
        guard([address.rpartition(":")[0]], config.cluster_public)
        _reach(address)
    own = _own_address(address)
    try:
        ray.init(
            address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level="warning",
            **({"_node_ip_address": own} if own else {}),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _nobody(address, error) from None
    return str(ray.get_runtime_context().get_node_id())


def _reach(address: str) -> None:
    """Raise NoCluster where nothing listens: Ray itself would look for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_LIMIT).close()
    except OSError as error:
        raise _nobody(address, error) from None


def _nobody(address: str, error: Exception) -> NoCluster:
    return NoCluster(
        f"no Ray cluster answers at {address}; start one with `ray start --head` on this machine (docs/cluster.md), "
        f"or correct CLUSTER and RAY_ADDRESS: {error}"
    )


def guard(hosts: Iterable[str], public_too: bool) -> None:
    """Raise NoCluster for a host whose address is public, where nothing keeps strangers out."""
    if public_too or os.environ.get("RAY_USE_TLS") == "1" or os.environ.get("RAY_AUTH_MODE") == "token":
        return
    for host in hosts:
        for address in _addresses(host):
            if not (address.is_private or address.is_loopback or address.is_link_local or address in _SHARED):
                raise NoCluster(
                    f"{host} has the public address {address}, and whoever reaches it runs code there: use a private "
                    "network, RAY_AUTH_MODE=token or RAY_USE_TLS=1, or say PROTOSCALE_CLUSTER_PUBLIC=true"
                )


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NoCluster(f"the host {host} of the cluster is not known here: {error.strerror}") from None
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _own_address(address: str) -> str | None:
    """The address a Ray node of this machine has, where the head's own is one of ours on the loopback: Ray would
    look for a node at the address of the network card."""
    host = address.rpartition(":")[0]
    return host if host.startswith("127.") else None
