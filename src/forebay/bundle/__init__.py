"""Bundles: the closure of some entries as a plain tar, for a machine without network (design/0010-bundles.md).

::

    from forebay.bundle import CreateOptions, InstallOptions, closure, create, find_roots, install, verify

    create(store, closure(store, find_roots(store, ["hub/hf/dataset/ns/name"])), Path("out.tar"), CreateOptions())
    install(other_store, Path("out.tar"), InstallOptions())

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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

_MODULES = {
    "Closure": "closures",
    "CreateOptions": "creating",
    "CreateReport": "creating",
    "Difference": "comparing",
    "InstallOptions": "installing",
    "InstallReport": "installing",
    "Manifest": "manifest",
    "RepairReport": "repairing",
    "Source": "source",
    "VerifyReport": "verifying",
    "closure": "closures",
    "create": "creating",
    "diff": "comparing",
    "find_roots": "closures",
    "install": "installing",
    "make_key": "signing",
    "open_source": "source",
    "public_key": "signing",
    "repair": "repairing",
    "verify": "verifying",
    "wanted": "repairing",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
