"""What comes along for those without Forebay: a README, two scripts, and a list of the files that they lay out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING

from forebay.types import Digest, Entry

if TYPE_CHECKING:
    from forebay.bundle.closures import Closure

_UNFIT = re.compile(r'[\x00-\x1f\x7f:*?"<>|\\]')
_ASIDE = ".forebay"
_FILE = "file:"


def unaided_files(wanted: Closure) -> dict[str, bytes]:
    """Return README.txt, setup.sh, setup.ps1 and FILES.tsv for a closure."""
    folder = resources.files("forebay.bundle") / "files"
    listing = "".join(f"{digest}\t{path}\n" for path, digest in sorted(_laid_out(wanted).items()))
    named = "".join(f"    {each.name}\n" for each in wanted.names) or "    nothing that has a name\n"
    holds = f"This one holds\n{named}"
    return {
        "README.txt": (folder / "README.txt").read_bytes() + holds.encode(),
        "setup.sh": (folder / "setup.sh").read_bytes(),
        "setup.ps1": (folder / "setup.ps1").read_bytes(),
        "FILES.tsv": listing.encode(),
    }


def _laid_out(wanted: Closure) -> dict[str, Digest]:
    """Return path -> object for the entries that have a name or were asked for."""
    entries = {(entry.kind, entry.key): entry for entry in wanted.entries}
    folders = [(each.name, entries[each.kind, each.key]) for each in wanted.names if (each.kind, each.key) in entries]
    named = {(each.kind, each.key) for each in wanted.names}
    folders += [(f"{kind}-{key[:12]}", entries[kind, key]) for kind, key in wanted.roots if (kind, key) not in named]
    found: dict[str, Digest] = {}
    taken: set[str] = set()
    for folder, entry in sorted(folders, key=lambda each: each[0]):
        for path, digest in _files_of(entry):
            full = "/".join(_UNFIT.sub("_", part) for part in (*folder.split("/"), *path))
            above = {full[:at] for at in range(len(full)) if full[at] == "/"}
            # What is a file to one cannot be a folder to another: then the later one is left out.
            if full not in taken and not any(each in found for each in above):
                found[full] = digest
                taken |= above | {full}
    return found


def _files_of(entry: Entry) -> Iterator[tuple[list[str], Digest]]:
    has_files = any(ref.role.startswith(_FILE) for ref in entry.objects)
    for ref in entry.objects:
        parts = [part if part not in ("", ".", "..") else "_" for part in ref.role.removeprefix(_FILE).split("/")]
        yield (parts if ref.role.startswith(_FILE) or not has_files else [_ASIDE, *parts]), ref.digest
