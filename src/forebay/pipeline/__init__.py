"""Recipes of operators over a dataset, each operator's result cached per shard. `design/0005-runs.md` tells how."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.pipeline.explaining import explain as explain
    from forebay.pipeline.options import RunOptions as RunOptions
    from forebay.pipeline.recipe import Recipe as Recipe
    from forebay.pipeline.report import ExportReport as ExportReport
    from forebay.pipeline.report import OperatorReport as OperatorReport
    from forebay.pipeline.report import RunReport as RunReport
    from forebay.pipeline.runner import plan as plan
    from forebay.pipeline.runner import run as run

__all__ = ["ExportReport", "OperatorReport", "Recipe", "RunOptions", "RunReport", "explain", "plan", "run"]

_HOMES = {
    "ExportReport": "report", "OperatorReport": "report", "Recipe": "recipe", "RunOptions": "options",
    "RunReport": "report", "explain": "explaining", "plan": "runner", "run": "runner",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"forebay.pipeline.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
