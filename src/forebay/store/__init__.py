"""The store: objects by content, entries by key, a hard budget, one build at a time (design/0001-store-format.md)."""

from forebay.store.batch import Batch
from forebay.store.holds import Pin
from forebay.store.memo import IndexMemo
from forebay.store.names import Names
from forebay.store.reports import (
    Damage,
    EntryInfo,
    GcReport,
    ReindexReport,
    Share,
    Usage,
    VerifyReport,
)
from forebay.store.store import Store

__all__ = [
    "Batch",
    "Damage",
    "EntryInfo",
    "GcReport",
    "IndexMemo",
    "Names",
    "Pin",
    "ReindexReport",
    "Share",
    "Store",
    "Usage",
    "VerifyReport",
]
