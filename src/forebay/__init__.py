"""Forebay: the dataset cache for machine learning. Work that has been done under a key is never done again.

::

    import forebay

    report = forebay.run("recipe.yaml")          # a recipe of operators over a dataset; a rerun computes what changed
    table = forebay.map(rows, clean)             # one function over rows, a table or a datasets.Dataset

    @forebay.cached                              # any function that returns tables, arrays or JSON-like values
    def statistics(texts: list[str]) -> dict[str, int]: ...

Names are loaded when they are first used: importing this costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what typing's own is at run time, without the 5 ms that importing typing costs

if TYPE_CHECKING:
    from forebay.config import Settings as Settings
    from forebay.config import resolve as settings
    from forebay.errors import ForebayError as ForebayError
    from forebay.events import Event as Event
    from forebay.events import Hook as Hook
    from forebay.hub.fetching import fetch as fetch
    from forebay.hub.loading import load as load
    from forebay.hub.snapshot import Snapshot as Snapshot
    from forebay.pipeline.api import explain as explain
    from forebay.pipeline.api import filter as filter  # noqa: A004 - the public name of the verb
    from forebay.pipeline.api import key as key
    from forebay.pipeline.api import map as map  # noqa: A004
    from forebay.pipeline.api import open as open  # noqa: A004
    from forebay.pipeline.api import run as run
    from forebay.pipeline.cached import cached as cached
    from forebay.pipeline.recipes.options import RunOptions as RunOptions
    from forebay.pipeline.recipes.recipe import Recipe as Recipe
    from forebay.pipeline.runs.report import RunReport as RunReport
    from forebay.store import Store as Store
    from forebay.table import Table as Table

__version__ = "0.1.0"

__all__ = [
    "Event", "ForebayError", "Hook", "Recipe", "RunOptions", "RunReport", "Settings", "Snapshot", "Store", "Table",
    "__version__", "cached", "explain", "fetch", "filter", "key", "load", "map", "open", "run", "settings",
]  # fmt: skip

_HOMES = {
    "Event": "forebay.events:Event",
    "ForebayError": "forebay.errors:ForebayError",
    "Hook": "forebay.events:Hook",
    "Recipe": "forebay.pipeline.recipes.recipe:Recipe",
    "RunOptions": "forebay.pipeline.recipes.options:RunOptions",
    "RunReport": "forebay.pipeline.runs.report:RunReport",
    "Settings": "forebay.config:Settings",
    "Snapshot": "forebay.hub.snapshot:Snapshot",
    "Store": "forebay.store:Store",
    "Table": "forebay.table:Table",
    "cached": "forebay.pipeline.cached:cached",
    "explain": "forebay.pipeline.api:explain",
    "fetch": "forebay.hub.fetching:fetch",
    "filter": "forebay.pipeline.api:filter",
    "key": "forebay.pipeline.api:key",
    "load": "forebay.hub.loading:load",
    "map": "forebay.pipeline.api:map",
    "open": "forebay.pipeline.api:open",
    "run": "forebay.pipeline.api:run",
    "settings": "forebay.config:resolve",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _HOMES[name].partition(":")
    found: object = getattr(import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
