"""`Store.fetch`. Hubs are above the store: they are reached by a name of the package's root, loaded when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.events import Hook, ignore

if TYPE_CHECKING:
    from forebay import Snapshot


class Fetching:
    """What a store can do because there are hubs."""

    def fetch(
        self,
        reference: str | Path,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        workers: int = 8,
        offline: bool = False,
        hook: Hook = ignore,
    ) -> Snapshot:
        """Fetch a dataset, a model, a URL, a bucket or a folder into this store; see `forebay.fetch`, which this is."""
        import forebay

        store: Any = self
        return forebay.fetch(
            reference, store=store, include=include, exclude=exclude, workers=workers, offline=offline, hook=hook
        )
