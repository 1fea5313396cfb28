"""The command line: `forebay`, also `python -m forebay.cli`."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line on `sys.argv` and exit with its code."""
    from forebay.cli.app import forebay

    forebay()
