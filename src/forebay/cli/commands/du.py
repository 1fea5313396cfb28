"""`forebay du`: the space taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from forebay.cli import text
from forebay.cli.app import Command
from forebay.cli.columns import Column
from forebay.cli.session import Session, emit, say, show_table

if TYPE_CHECKING:
    from forebay.types import JSON
