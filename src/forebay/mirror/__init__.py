"""The hubs' own protocols, answered from the store: for programs that know nothing of Forebay (design/0009).

Loaded lazily: who only wants to know what goes into an environment need not load a server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.mirror.app import App
    from forebay.mirror.gate import Gate
    from forebay.mirror.library import Library
    from forebay.mirror.process import MirrorOptions, run_mirror
    from forebay.mirror.server import Tls

__all__ = ["App", "Gate", "Library", "MirrorOptions", "Tls", "run_mirror"]

_MODULES = {
    "App": "app",
    "Gate": "gate",
    "Library": "library",
    "MirrorOptions": "process",
    "Tls": "server",
    "run_mirror": "process",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
