"""Metrics of the `evaluate` library: spaces on the Hugging Face hub, with code that may want more.

`evaluate.load("rouge")` asks for ``spaces/evaluate-metric/rouge``, first at the tag of the library's own version, then
at the main branch. What the metric's code loads in turn (NLTK data, other files, URLs in ``# From:`` comments) is read
from its text once it is here.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from forebay.hub.reference import Reference
from forebay.integrations.tasks import Gap, Metric

NAMESPACES = ("evaluate-metric", "evaluate-comparison", "evaluate-measurement")
"""Where a bare name is looked for, in this order."""

_OUTER = re.compile(r"^\s*(?:import|from)\s+\.?[^\s.]+[^#\n]*#\s*From:\s*(\S+)", re.MULTILINE)
_GITHUB = re.compile(r"https://github\.com/([^/]+/[^/]+)/(?:blob|tree)/(.+)")


def reference(metric: Metric) -> Reference:
    """Return the space that holds a metric: ``rouge`` is ``evaluate-metric/rouge``."""
    id = metric.name if "/" in metric.name else f"{NAMESPACES[0]}/{metric.name}"  # noqa: A001 - the hub's own word
    return Reference("hf", "space", id)


def script(metric: Metric) -> str:
    """Return the file of the space that holds the metric's code."""
    return f"{metric.name.rpartition('/')[2]}.py"


def outer_files(code: str) -> list[str]:
    """Return the addresses of code that a metric takes in from elsewhere when it is loaded."""
    return [_GITHUB.sub(r"https://raw.githubusercontent.com/\1/\2", url) for url in _OUTER.findall(code)]


def told_by(code: str, file: str) -> tuple[tuple[str, ...], tuple[Gap, ...]]:
    """Read a metric's code: the packages of NLTK data that it wants, and what else it would fetch when used."""
    import ast

    from forebay.integrations.reading import Found, dotted_name, read_call

    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return (), (Gap(file, "its code cannot be read"),)
    found = Found()
    what = f"metric {PurePosixPath(file).stem}"
    gaps = [Gap(what, f"takes in code from {url}") for url in outer_files(code)]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted_name(node.func)
        if name.startswith("nltk."):
            read_call(name, node, {}, found)
        elif name.rpartition(".")[2] in ("download", "download_and_extract") and "manager" in name.partition(".")[0]:
            gaps.append(Gap(what, "fetches a checkpoint when it is used", "its README tells which"))
    return tuple(found.nltk), tuple(dict.fromkeys(gaps))
