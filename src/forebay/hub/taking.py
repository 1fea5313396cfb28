"""Files that become objects by a second name."""

from __future__ import annotations

from pathlib import Path

from forebay.store import Batch
from forebay.types import ObjectRef


def taken(batch: Batch, ref: ObjectRef, path: Path) -> bool:
    """Let an entry name an object that the store has already, or else whose file can be linked into it.

    The caller vouches for the file as `Batch.link` says.

    Returns:
        Whether it could be done; else the bytes must be put.
    """
    return not batch.rely([ref]) or not batch.link([(ref, path, "none")])
