"""The command line: `forebay`, also `python -m forebay.cli`."""

from __future__ import annotations

__all__ = ["main"]

_COLLECT_EVERY = 50_000
"""New objects between two garbage collections. What a command loads stays: to go through it again and again, as Python
does by default, is a twentieth of a start."""


def main() -> None:
    """Run the command line on `sys.argv` and exit with its code."""
    import gc

    gc.set_threshold(_COLLECT_EVERY)
    from forebay.cli.app import forebay

    try:
        forebay()
    finally:
        gc.freeze()  # nor does Python, as it ends, go through all that was loaded: that takes a seventh of a command
