"""The metric that lm-eval's humaneval loads: the share of problems that a program solves. Served as a hub's space.

Each candidate runs in a process of its own, followed by the problem's tests; it has solved it if that ends well.
"""

import subprocess
import sys

import datasets
import evaluate

_SECONDS = 3.0


class CodeEval(evaluate.Metric):
    """pass@1 of candidate programs."""

    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": datasets.Sequence(text), "references": text})
        about = {"description": "pass@1", "citation": "", "inputs_description": ""}
        return evaluate.MetricInfo(**about, features=features)

    def _compute(self, predictions, references, k=(1,)):
        if list(k) != [1]:
            raise ValueError(f"k={list(k)}: this one knows pass@1 alone")
        results = [
            [_solves(f"{candidate}\n{reference}") for candidate in candidates]
            for candidates, reference in zip(predictions, references)
        ]
        shares = [sum(solved) / len(solved) for solved in results]
        return {"pass@1": sum(shares) / len(shares)}, results


def _solves(program):
    command = [sys.executable, "-I", "-c", program]
    try:
        return subprocess.run(command, capture_output=True, timeout=_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False
