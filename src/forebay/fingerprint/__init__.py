"""Fingerprints: the key of any value or function, made of everything its result depends on.

The rules are in ``design/0003-keys.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import lazy
from forebay.fingerprint.digests import FileMemo, digest_bytes, file_digest
from forebay.fingerprint.keytree import Concern, KeyTree, combine, concerns

if TYPE_CHECKING:
    from forebay.fingerprint.compare import Difference, differences
    from forebay.fingerprint.containers import FileContent

__all__ = [
    "Concern",
    "Difference",
    "FileContent",
    "FileMemo",
    "KeyTree",
    "combine",
    "concerns",
    "differences",
    "digest_bytes",
    "file_digest",
    "tree",
]


def tree(value: object, *, label: str = "value", memo: FileMemo | None = None) -> KeyTree:
    """Return the key of any value or function.

    Args:
        value: what the key is made of.
        label: what to call it; not part of its digest.
        memo: where digests of files are remembered.

    Raises:
        UnhashableError: something that the value depends on cannot be keyed; the error's subject is the path to it.
    """
    from forebay.fingerprint.entry import walk

    return walk(value, label, memo)


__getattr__, __dir__ = lazy.names(
    __name__, __all__, {".compare": ["Difference", "differences"], ".containers": ["FileContent"]}
)
