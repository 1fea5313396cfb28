"""A model goes the way of data: fetched, bundled, installed elsewhere, and run there by an unmodified harness."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from forebay.integrations import lm_eval
from forebay.testing import FakeHub, Repository, tinydata

NAME = "org/tiny-gpt2"
MODEL = f"hf://{NAME}"
DATA = "hf://datasets/allenai/ai2_arc"
TASK = "arc_easy"


def forebay(environ: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "forebay.cli", *arguments]
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def home(hub: FakeHub, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MODELSCOPE_"))}
    source = str(Path(lm_eval.__file__).parents[2])
    own = {"FOREBAY_HOME": str(folder / "store"), "HOME": str(folder), "PYTHONPATH": source}
    return kept | own | {"HF_ENDPOINT": hub.hf_endpoint, "MODELSCOPE_ENDPOINT": hub.ms_endpoint}


@pytest.mark.slow
def test_a_model_runs_where_its_bundle_was_installed(tmp_path: Path, client_environment: Callable[[str], Path]) -> None:
    client = client_environment("lmeval")
    made = tmp_path / "model"
    maker = Path(__file__).with_name("tiny_model.py")
    subprocess.run([client / "bin" / "python", maker, made], check=True, capture_output=True, timeout=280)
    model = Repository(NAME, type="model", files={path.name: path.read_bytes() for path in made.iterdir()})
    bundle = str(tmp_path / "all.forebay")
    with FakeHub([*tinydata.every(), model]) as hub:
        here, there = home(hub, tmp_path / "here"), home(hub, tmp_path / "there")
        forebay(here, "fetch", MODEL, "--lm-eval", TASK, "--python", str(client))
        forebay(here, "bundle", "create", bundle, MODEL, DATA)
        hub.die()
        forebay(there, "bundle", "install", bundle)
        command = [str(client / "bin" / "lm_eval"), "run", "--model", "hf", "--model_args", f"pretrained={NAME}"]
        command += ["--tasks", TASK, "--limit", "2", "--device", "cpu", "--batch_size", "1"]
        told = forebay(there, "exec", "--offline", "--private-caches", "--", *command)
    assert "0 requests upstream" in told
    assert "|acc_norm|" in told
