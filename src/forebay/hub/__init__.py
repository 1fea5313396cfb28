"""Hubs: from a reference to bytes in the store, fetched once, verified, with or without a network (design/0008).

Names are loaded when they are first used: who needs the words for a repository alone does not wait for the rest.
"""

from __future__ import annotations

from forebay import lazy

TYPE_CHECKING = False  # what typing's own is at run time, without the 5 ms that importing typing costs

if TYPE_CHECKING:
    from forebay.config import HubSettings as HubSettings
    from forebay.hub.hub import FetchOptions as FetchOptions
    from forebay.hub.hub import Hub as Hub
    from forebay.hub.origin import Body as Body
    from forebay.hub.origin import Listing as Listing
    from forebay.hub.origin import Origin as Origin
    from forebay.hub.reference import Reference as Reference
    from forebay.hub.reference import parse as parse
    from forebay.hub.snapshot import Snapshot as Snapshot
    from forebay.hub.snapshot import SnapshotFile as SnapshotFile

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

__getattr__, __dir__ = lazy.names(
    __name__,
    __all__,
    {
        "forebay.config": ["HubSettings"],
        ".hub": ["FetchOptions", "Hub"],
        ".origin": ["Body", "Listing", "Origin"],
        ".reference": ["Reference", "parse"],
        ".snapshot": ["Snapshot", "SnapshotFile"],
    },
)
