"""Recipes of operators over a dataset, each operator's result cached per shard. `design/0005-runs.md` tells how."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.pipeline.recipes.options import RunOptions as RunOptions
    from forebay.pipeline.recipes.recipe import Recipe as Recipe
    from forebay.pipeline.runs.explaining import explain as explain
    from forebay.pipeline.runs.report import ExportReport as ExportReport
    from forebay.pipeline.runs.report import OperatorReport as OperatorReport
    from forebay.pipeline.runs.report import RunReport as RunReport
    from forebay.pipeline.runs.runner import plan as plan
    from forebay.pipeline.runs.runner import run as run

__all__ = ["ExportReport", "OperatorReport", "Recipe", "RunOptions", "RunReport", "explain", "plan", "run"]

_HOMES = {
    "ExportReport": "runs.report", "OperatorReport": "runs.report", "Recipe": "recipes.recipe",
    "RunOptions": "recipes.options", "RunReport": "runs.report", "explain": "runs.explaining", "plan": "runs.runner",
    "run": "runs.runner",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"forebay.pipeline.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
