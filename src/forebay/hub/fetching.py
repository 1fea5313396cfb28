"""`forebay.fetch` and `Store.fetch`: from a reference to files in a store, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from forebay import config
from forebay.events import Hook, ignore
from forebay.hub.hub import FetchOptions, Hub
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot
from forebay.store import Store


def fetch(
    reference: str | Path | Reference,
    *,
    store: Store | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    workers: int = 8,
    offline: bool = False,
    hook: Hook = ignore,
) -> Snapshot:
    """Fetch what a reference means into a store; what is there is not fetched again.

    ::

        with forebay.open() as store:
            snapshot = store.fetch("hf://datasets/openai/gsm8k#main")
            snapshot.commit, [file.path for file in snapshot.files]

    Args:
        reference: of a dataset (``#CONFIG`` and a path choose files of it), a model, a URL, a bucket, a file or folder;
            a `Path` is a file or folder.
        store: where to; None: as the environment and the configuration file say.
        include: shell patterns or folders; none: all files.
        exclude: likewise, and stronger.
        workers: files at a time.
        offline: ask nobody: what is not in the store is an error.
        hook: told FETCH (bytes over the network), PROGRESS, WAIT, WARNING.

    Returns:
        What is there at the commit that the reference means now: all its files, also those that were not chosen.

    Raises:
        ForebayError: as `Hub.fetch`.
    """
    config.refuse_folder(store)
    with ExitStack() as stack:
        used = store or stack.enter_context(Store.open(hook=hook))
        hub = stack.enter_context(Hub(used, hook=hook))
        return hub.fetch(reference, FetchOptions(include, exclude, workers, offline))
