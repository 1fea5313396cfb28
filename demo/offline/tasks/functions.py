"""What a row of BFCL's `multiple` says; its columns are JSON, quoted."""

from __future__ import annotations

import json
from typing import Any


def request(doc: dict[str, Any]) -> str:
    """Return what the user wants."""
    turns = [message["content"] for turn in json.loads(doc["question"]) for message in turn]
    return "\n".join([*turns, "", "Function:"])


def names(doc: dict[str, Any]) -> list[str]:
    """Return the functions on offer."""
    return [function["name"] for function in json.loads(doc["function"])]


def right(doc: dict[str, Any]) -> int:
    """Return the number of the right one."""
    return names(doc).index(next(iter(json.loads(doc["ground_truth"])[0])))
