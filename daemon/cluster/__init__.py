"""Devices of other machines, by way of a Ray cluster. Reached only where `CLUSTER` is set (see docs/cluster.md)."""
