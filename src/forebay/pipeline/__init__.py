"""Recipes of operators over a dataset, each operator's result cached per shard. `design/0005-runs.md` tells how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import lazy

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

__getattr__, __dir__ = lazy.names(
    __name__,
    __all__,
    {
        ".recipes.options": ["RunOptions"],
        ".recipes.recipe": ["Recipe"],
        ".runs.explaining": ["explain"],
        ".runs.report": ["ExportReport", "OperatorReport", "RunReport"],
        ".runs.runner": ["plan", "run"],
    },
)
