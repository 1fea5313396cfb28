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

from forebay import lazy

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

__getattr__, __dir__ = lazy.names(
    __name__,
    __all__,
    {
        "forebay.config": ["Settings", "resolve as settings"],
        "forebay.errors": ["ForebayError"],
        "forebay.events": ["Event", "Hook"],
        "forebay.hub.fetching": ["fetch"],
        "forebay.hub.loading": ["load"],
        "forebay.hub.snapshot": ["Snapshot"],
        "forebay.pipeline.api": ["explain", "filter", "key", "map", "open", "run"],
        "forebay.pipeline.cached": ["cached"],
        "forebay.pipeline.recipes.options": ["RunOptions"],
        "forebay.pipeline.recipes.recipe": ["Recipe"],
        "forebay.pipeline.runs.report": ["RunReport"],
        "forebay.store": ["Store"],
        "forebay.table": ["Table"],
    },
)
