"""The metric that lm-eval's humaneval loads: the share of problems that a program solves. Served as a hub's space.

Each candidate runs in a process of its own, followed by the problem's tests; it has solved it if that ends well.
"""

import subprocess
import sys
from typing import Any

import datasets
import evaluate  # pyright: ignore[reportMissingImports] - lm-eval's environment has it

_SECONDS = 3.0


class CodeEval(evaluate.Metric):  # pyright: ignore[reportUntypedBaseClass]
    """pass@1 of candidate programs."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        features = datasets.Features({"predictions": datasets.Sequence(text), "references": text})
        about = {"description": "pass@1", "citation": "", "inputs_description": ""}
        return evaluate.MetricInfo(**about, features=features)

    def _compute(self, predictions: list[list[str]], references: list[str], k: tuple[int, ...] = (1,)) -> Any:
        if list(k) != [1]:
            raise ValueError(f"k={list(k)}: this one knows pass@1 alone")
        results = [
            [_solves(f"{candidate}\n{reference}") for candidate in candidates]
            for candidates, reference in zip(predictions, references, strict=True)
        ]
        shares = [sum(solved) / len(solved) for solved in results]
        return {"pass@1": sum(shares) / len(shares)}, results


def _solves(program: str) -> bool:
    command = [sys.executable, "-I", "-c", program]
    try:
        return subprocess.run(command, capture_output=True, timeout=_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False
