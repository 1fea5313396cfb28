"""The hubs' own protocols, answered from the store: for programs that know nothing of Forebay (design/0009).

Loaded lazily: who only wants to know what goes into an environment need not load a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import lazy

if TYPE_CHECKING:
    from forebay.mirror.app import App
    from forebay.mirror.gate import Gate
    from forebay.mirror.library import Library
    from forebay.mirror.process import MirrorOptions, run_mirror
    from forebay.mirror.server import Tls

__all__ = ["App", "Gate", "Library", "MirrorOptions", "Tls", "run_mirror"]

__getattr__, __dir__ = lazy.names(
    __name__,
    __all__,
    {
        ".app": ["App"],
        ".gate": ["Gate"],
        ".library": ["Library"],
        ".process": ["MirrorOptions", "run_mirror"],
        ".server": ["Tls"],
    },
)
