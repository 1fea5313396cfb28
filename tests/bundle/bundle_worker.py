"""What the tests kill: ``python bundle_worker.py create|install HOME BUNDLE [VOLUME_BYTES]``; says how far it is."""

from __future__ import annotations

import sys
from pathlib import Path

from bundling import bundle

from forebay.bundle import CreateOptions, install
from forebay.config import Settings
from forebay.store import Store


def main(what: str, home: str, path: str, volume_bytes: str = "") -> None:
    with Store.open(Settings(home=Path(home))) as store:
        print("ready", flush=True)
        if what == "create":
            options = CreateOptions(volume_bytes=int(volume_bytes) if volume_bytes else None, threads=1)
            print(bundle(store, Path(path), options=options).resumed, flush=True)
        else:
            print(install(store, Path(path)).present, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
