"""Hubs: from a reference to bytes in the store, fetched once, verified, with or without a network (design/0008)."""

from forebay.config import HubSettings
from forebay.hub.hub import FetchOptions, Hub
from forebay.hub.origin import Body, Listing, Origin
from forebay.hub.reference import Reference, parse
from forebay.hub.snapshot import Snapshot, SnapshotFile

__all__ = [
    "Body",
    "FetchOptions",
    "Hub",
    "HubSettings",
    "Listing",
    "Origin",
    "Reference",
    "Snapshot",
    "SnapshotFile",
    "parse",
]
