"""Bundles: the closure of some entries as a plain tar, for a machine without network (design/0010-bundles.md).

::

    from forebay.bundle import CreateOptions, InstallOptions, closure, create, find_roots, install, verify

    create(store, closure(store, find_roots(store, ["hub/hf/dataset/ns/name"])), Path("out.tar"), CreateOptions())
    install(other_store, Path("out.tar"), InstallOptions())

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import lazy

if TYPE_CHECKING:
    from forebay.bundle.closures import Closure, closure, find_roots
    from forebay.bundle.comparing import Difference, diff
    from forebay.bundle.creating import CreateOptions, CreateReport, create
    from forebay.bundle.installing import InstallOptions, InstallReport, install
    from forebay.bundle.manifest import Manifest
    from forebay.bundle.repairing import RepairReport, repair, wanted
    from forebay.bundle.signing import make_key, public_key
    from forebay.bundle.source import Source, open_source
    from forebay.bundle.verifying import VerifyReport, verify

__all__ = [
    "Closure",
    "CreateOptions",
    "CreateReport",
    "Difference",
    "InstallOptions",
    "InstallReport",
    "Manifest",
    "RepairReport",
    "Source",
    "VerifyReport",
    "closure",
    "create",
    "diff",
    "find_roots",
    "install",
    "make_key",
    "open_source",
    "public_key",
    "repair",
    "verify",
    "wanted",
]

__getattr__, __dir__ = lazy.names(
    __name__,
    __all__,
    {
        ".closures": ["Closure", "closure", "find_roots"],
        ".comparing": ["Difference", "diff"],
        ".creating": ["CreateOptions", "CreateReport", "create"],
        ".installing": ["InstallOptions", "InstallReport", "install"],
        ".manifest": ["Manifest"],
        ".repairing": ["RepairReport", "repair", "wanted"],
        ".signing": ["make_key", "public_key"],
        ".source": ["Source", "open_source"],
        ".verifying": ["VerifyReport", "verify"],
    },
)
