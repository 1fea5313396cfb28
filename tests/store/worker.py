"""What the tests with real processes run: ``python worker.py HOME COMMAND [ARGUMENT …]``; tells on standard output."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from blake3 import blake3

from forebay.config import Settings
from forebay.errors import StoreFullError
from forebay.store import Batch, Store
from forebay.types import Cost, Entry, Key


def key(text: str) -> Key:
    return Key(blake3(text.encode()).hexdigest())


def noise(text: str, size: int) -> bytes:
    return blake3(text.encode()).digest(size)


def say(*words: object) -> None:
    print(*words, flush=True)


def build(store: Store, name: str, seconds: str) -> None:
    """Build `name`, taking `seconds`, or "long": until there is a file `go`; say who made it."""

    def make(batch: Batch) -> Entry:
        say("making", name)
        (store.home / f"made-{name}-{time.time_ns()}").touch()
        ref = batch.put("o", noise(name, 50_000))
        if seconds == "long":
            say("waiting")
            while not (store.home / "go").exists():
                time.sleep(0.01)
        else:
            time.sleep(float(seconds))
        return Entry("table", key(name), (ref,))

    entry = store.build("table", key(name), make)
    assert store.read(entry.objects[0].digest) == noise(name, 50_000)
    say("done")


def commit(store: Store, prefix: str, count: str, size: str) -> None:
    """Commit many entries, saying each that is through."""
    for number in range(int(count)):
        name = f"{prefix}{number}"
        try:
            with store.batch() as batch:
                refs = [batch.put("a", noise(name, int(size))), batch.put("b", [noise(name + "b", 100)] * 3)]
                refs.append(batch.put("shared", noise(f"shared{number % 5}", 1000)))
                batch.add(Entry("delta", key(name), tuple(refs), meta={"name": name}, cost=Cost(0.5)))
        except StoreFullError:
            say("full")
            continue
        say("committed", name)


def churn(store: Store, prefix: str, count: str) -> None:
    """Commit, read, collect and reindex."""
    for number in range(int(count)):
        commit(store, f"{prefix}{number % 7}-", "3", "3000")
        if number % 3 == 0:
            store.gc(max_bytes=20_000)
        if number % 5 == 0:
            store.reindex()


def hold(store: Store, name: str) -> None:
    """Read `name` until standard input ends."""
    with store.reading([("delta", key(name))]):
        say("holding")
        sys.stdin.read()


def main() -> None:
    home, budget, command, *arguments = sys.argv[1:]
    settings = Settings(home=Path(home), max_bytes=int(budget) or None, min_free_bytes=0, lease_seconds=2.0)
    with Store.open(settings) as store:
        {"build": build, "commit": commit, "churn": churn, "hold": hold}[command](store, *arguments)
    say("closed")


if __name__ == "__main__":
    main()
