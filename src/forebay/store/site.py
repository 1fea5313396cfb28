"""Where an open store lies, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass

from forebay.config import Settings
from forebay.events import Hook
from forebay.io import Filesystem
from forebay.store.files import Files
from forebay.store.layout import Layout
from forebay.store.session import Session


@dataclass(frozen=True, slots=True)
class Site:
    """What the parts of an open store have in common, made before any of them."""

    settings: Settings
    fs: Filesystem
    layout: Layout
    files: Files
    mine: Session
    """The session under which this process writes."""
    hook: Hook
