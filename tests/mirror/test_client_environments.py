"""Unmodified clients of other versions and hubs, in the environments that `make test-clients` builds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from forebay.testing import FakeHub, Repository
from forebay.testing.tinydata import arc, ceval, hellaswag


@pytest.fixture
def python(client_environment: Callable[[str], Path]) -> Callable[[str], str]:
    """Return the interpreter of an environment."""
    return lambda name: str(client_environment(name) / "bin" / "python")


@pytest.fixture
def fake():
    files = {
        "README.md": "# x\n",
        "data/val.csv": "question,answer\na,b\nc,d\n",
        "big/x.bin": bytes(range(256)) * 20_000,
    }
    metric = Repository(
        "evaluate-metric/nearly", type="space", hubs=["hf"], files={"README.md": "# m", "nearly.py": METRIC}
    )
    with FakeHub([hellaswag(), arc(), Repository("org/ceval", files=files), metric]) as hub:
        yield hub


METRIC = """
import datasets
import evaluate
class Nearly(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("int32"), "references": datasets.Value("int32")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)
    def _compute(self, predictions, references):
        return {"nearly": sum(abs(p - r) <= 1 for p, r in zip(predictions, references)) / len(predictions)}
"""

LOAD = 'from datasets import load_dataset; print(load_dataset("Rowan/hellaswag", split="test").num_rows)'


@pytest.mark.parametrize("name", ["hf5", "hf4", "datasets36", "lmeval"])
def test_datasets_of_all_ages(name, python, fake, start_mirror, upstream, run_client) -> None:
    mirror = start_mirror(*upstream(fake))
    assert run_client(LOAD, mirror.endpoint, python=python(name), home="cold").split()[-1] == "12"
    fake.die()
    assert run_client(LOAD, mirror.endpoint, python=python(name), home="warm").split()[-1] == "12"


ARC = """
from datasets import load_dataset
rows = load_dataset("allenai/ai2_arc", "ARC-Easy", split="test")
print(rows.num_rows, type(rows[0]["choices"]["text"]).__name__, len(rows.map(lambda row: {"n": 1})))
"""


def test_one_cache_for_versions_that_cannot_read_each_other_s(python, fake, tmp_path) -> None:
    """Version 3 fails at what 4 and 5 keep in the cache that they share; what it makes itself stays as well."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "FOREBAY_HOME": str(tmp_path / "store"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    command = [sys.executable, "-m", "forebay.cli", "exec", "--upstream", fake.hf_endpoint, "--"]
    seen = []
    for name in ("hf5", "datasets36", "hf4", "datasets36", "hf5"):
        # theirs is not our sys.path
        script = ["env", "-u", "PYTHONPATH", python(name), "-c", ARC]
        done = subprocess.run([*command, *script], env=environ, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout) == (0, "6 list 6\n"), (name, done.stderr[-2000:])
        seen.append(_arrow(tmp_path / ".cache" / "huggingface" / "datasets"))
    assert seen[0] < seen[1] <= seen[2] <= seen[3] == seen[4]


def _arrow(cache: Path) -> set[tuple[str, int]]:
    """Return the Arrow of datasets, not of what was computed: nothing of it is made twice."""
    return {(str(path), path.stat().st_mtime_ns) for path in cache.rglob("ai2_arc-*.arrow")}


MODELSCOPE = """
import pathlib
from modelscope.hub.snapshot_download import dataset_snapshot_download
from modelscope.hub.file_download import dataset_file_download
folder = pathlib.Path(dataset_snapshot_download("org/ceval"))
print(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")))
print(pathlib.Path(dataset_file_download("org/ceval", "data/val.csv")).read_text().splitlines()[0])
"""


def test_modelscope(python, fake, start_mirror, upstream, run_client) -> None:
    wanted = ["['README.md', 'big/x.bin', 'data/val.csv']", "question,answer"]
    mirror = start_mirror(*upstream(fake))
    assert run_client(MODELSCOPE, mirror.endpoint, python=python("ms"), home="cold").splitlines()[-2:] == wanted
    fake.forget()
    assert run_client(MODELSCOPE, mirror.endpoint, python=python("ms"), home="warm").splitlines()[-2:] == wanted
    assert fake.count() == 0
    fake.die()
    later = start_mirror(*upstream(fake), "--offline")
    assert run_client(MODELSCOPE, later.endpoint, python=python("ms"), home="dead").splitlines()[-2:] == wanted


def test_evaluate(python, fake, start_mirror, upstream, run_client) -> None:
    code = 'import evaluate; print(evaluate.load("nearly").compute(predictions=[1, 5], references=[2, 9]))'
    mirror = start_mirror(*upstream(fake))
    told = run_client(code, mirror.endpoint, python=python("lmeval"), home="cold", HF_UPDATE_DOWNLOAD_COUNTS="0")
    assert told.split("\n")[-2] == "{'nearly': 0.5}"
    fake.die()
    again = run_client(code, mirror.endpoint, python=python("lmeval"), home="warm", HF_UPDATE_DOWNLOAD_COUNTS="0")
    assert again.split("\n")[-2] == "{'nearly': 0.5}"


SWIFT = """
import pathlib
import huggingface_hub, modelscope
from datasets import load_dataset
from modelscope import MsDataset
rows = MsDataset.load(
    "evalscope/ceval", subset_name="accountant", split="test", version="master",
    download_mode="reuse_dataset_if_exists", use_streaming=False, trust_remote_code=True,
)
print(len(rows))
rows = load_dataset(
    "allenai/ai2_arc", name="ARC-Easy", split="test", streaming=False, revision="main",
    download_mode="reuse_dataset_if_exists", num_proc=None, trust_remote_code=True,
)
print(len(rows))
for folder in (
    modelscope.snapshot_download("org/model", "master", ignore_patterns=["*.bin"]),
    huggingface_hub.snapshot_download("org/model", repo_type="model", revision="main", ignore_patterns=["*.bin"]),
):
    print(sorted(path.name for path in pathlib.Path(folder).iterdir() if not path.name.startswith(".")))
"""


def test_the_calls_of_ms_swift(python, tmp_path) -> None:
    """By which it takes datasets and models from both hubs; it is too large to be installed for a test."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "FOREBAY_HOME": str(tmp_path / "store"),
    }
    model = Repository("org/model", type="model", files={"config.json": "{}", "a.safetensors": b"x", "b.bin": b"y"})
    said = ["3", "6", "['a.safetensors', 'config.json']", "['a.safetensors', 'config.json']"]
    with FakeHub([arc(), ceval(subjects=["accountant"]), model]) as hub:
        for arguments in (("--upstream", hub.hf_endpoint, "--ms-upstream", hub.ms_endpoint), ("--offline",)):
            command = [sys.executable, "-m", "forebay.cli", "exec", "--private-caches", *arguments, "--"]
            script = ["env", "-u", "PYTHONPATH", python("evalscope"), "-c", SWIFT]
            done = subprocess.run([*command, *script], env=environ, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr[-3000:]
            assert [line for line in done.stdout.splitlines() if line in said] == said, done.stdout
