"""Paths as arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class PathType(click.Path):
    """A path, as a `pathlib.Path`. Empty text is none: mostly a variable that is not set, and not the working folder.

    Args:
        kinds: as those of `click.Path`.
    """

    def __init__(self, **kinds: bool) -> None:
        super().__init__(path_type=Path, **kinds)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        if value == "":
            self.fail("the path is empty (is a variable not set?); the working folder is .", param, ctx)
        return super().convert(value, param, ctx)
