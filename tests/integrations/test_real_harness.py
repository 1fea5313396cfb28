"""The real lm-eval and evalscope, where built: their answers are ours, and they run unmodified on what was fetched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from made_harness import ASKED, make
from test_lm_eval import KINDS, RECORDED, compare

from forebay.integrations import evalscope, lm_eval
from forebay.integrations.lm_tasks import Tasks
from forebay.testing import FakeHub, tinydata

ANSWERS = Path(__file__).parent / "harness_answers.py"
WELL_KNOWN = (
    "hellaswag", "mmlu", "mmlu_pro", "ai2_arc", "arc_challenge", "gsm8k", "truthfulqa", "winogrande", "piqa", "ifeval",
    "leaderboard", "bbh", "humaneval", "mbpp", "drop", "squadv2", "glue", "super-glue-lm-eval-v1", "lambada_openai",
    "arithmetic", "c4", "mmlusr", "ruler", "babilong", "xnli", "belebele", "agieval", "minerva_math", "race", "boolq",
    "gpqa", "wikitext", "triviaqa", "nq_open", "openbookqa", "sciq", "toxigen", "cmmlu", "ceval-valid", "mgsm_direct",
)  # fmt: skip


def answers(client: Path, *arguments: str) -> Any:
    python = client / "bin" / "python"
    done = subprocess.run([python, str(ANSWERS), *arguments], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_recorded_answers_are_the_harnesses(tmp_path: Path, client_environment: Callable[[str], Path]) -> None:
    tasks = make(tmp_path) / "tasks"
    told = answers(client_environment("lmeval"), str(tasks), *ASKED)
    assert {"names": told["index"], "asked": told["asked"]} == RECORDED


@pytest.mark.slow
def test_well_known_tasks_and_every_name(client_environment: Callable[[str], Path]) -> None:
    tasks = Tasks(lm_eval.find(client_environment("lmeval")))
    asked = [name for name in WELL_KNOWN if name in tasks.names]
    assert len(asked) > len(WELL_KNOWN) - 5
    told = answers(client_environment("lmeval"), "-", *asked)
    folder = tasks.harness.folder / "tasks"
    ours = {
        name: [KINDS[each.kind], each.file.relative_to(folder).as_posix() if each.file else None]
        for name, each in tasks.names.items()
    }
    assert ours == {name: row[:2] for name, row in told["index"].items()}
    for name in asked:
        compare(tasks, name, told["asked"][name])


def run(environ: Mapping[str, str], *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "forebay.cli", *arguments],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == code, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def surroundings(hub: FakeHub, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MODELSCOPE_"))}
    source = str(Path(lm_eval.__file__).parents[2])
    told = {"HF_ENDPOINT": hub.hf_endpoint, "MODELSCOPE_ENDPOINT": hub.ms_endpoint, "PYTHONPATH": source}
    return kept | told | {"FOREBAY_HOME": str(folder / "store"), "HOME": str(folder)}


@pytest.mark.slow
def test_lm_eval_runs_online_and_with_the_hub_dead(tmp_path: Path, client_environment: Callable[[str], Path]) -> None:
    client = client_environment("lmeval")
    tasks = "hellaswag,mmlu_anatomy,gsm8k,arc_easy"
    command = [str(client / "bin" / "lm_eval"), "run", "--model", "dummy", "--tasks", tasks, "--limit", "2"]
    with FakeHub(tinydata.every()) as hub:
        environ = surroundings(hub, tmp_path)
        run(environ, "fetch", "--lm-eval", tasks, "--python", str(client))
        fetched = hub.count("*/resolve/*", method="GET")
        run(environ, "exec", "--private-caches", "--", *command)
        assert hub.count("*/resolve/*", method="GET") == fetched
        hub.die()
        told = run(environ, "exec", "--offline", "--private-caches", "--", *command)
        assert "0 requests upstream" in told
        told = run(environ, "check", "--lm-eval", f"{tasks},piqa", "--python", str(client), code=1)
        assert "4 of 5 load without network" in told
        assert "baber/piqa" in told


@pytest.mark.slow
def test_lm_eval_runs_from_an_installed_bundle(tmp_path: Path, client_environment: Callable[[str], Path]) -> None:
    """Warmed here, carried as one file, installed in another store at another path, the hub stopped; unmodified."""
    client = client_environment("lmeval")
    tasks = "hellaswag,mmlu_anatomy,mmlu_virology,gsm8k,arc_easy"
    command = [str(client / "bin" / "lm_eval"), "run", "--model", "dummy", "--tasks", tasks, "--limit", "2"]
    away = tmp_path / "away"
    away.mkdir()
    with FakeHub(tinydata.every()) as hub:
        here, there = surroundings(hub, tmp_path), surroundings(hub, away)
        bundle = str(tmp_path / "tasks.tar")
        told = run(here, "bundle", "create", bundle, "--lm-eval", tasks, "--python", str(client), code=1)
        assert "5 of 5 tasks" in told
        assert not Path(bundle).exists()
        run(here, "fetch", "--lm-eval", tasks, "--python", str(client))
        run(here, "bundle", "create", bundle, "--lm-eval", tasks, "--python", str(client))
    (tmp_path / "store").rename(tmp_path / "gone")
    lock = away / "forebay.lock"
    assert "installed" in run(there, "bundle", "install", bundle, "--lock", str(lock))
    told = run(there, "exec", "--offline", "--private-caches", "--", *command)
    assert "0 requests upstream" in told
    for name in ("hellaswag", "anatomy", "virology", "gsm8k", "arc_easy"):
        assert f"|{name}" in told, told[-2000:]
    told = run(there, "check", "--lm-eval", tasks, "--python", str(client))
    assert "5 of 5 load without network" in told
    locked = ["--offline", "--locked", "--lock", str(lock), "--lm-eval", tasks, "--python", str(client)]
    assert "0 fetched" in run(there, "fetch", *locked)
    wanted = ["hf://datasets/cais/mmlu#anatomy", "hf://datasets/openai/gsm8k#main"]
    run(there, "view", "datasets", str(away / "view"), *wanted)
    script = "import datasets; print(len(datasets.load_dataset('cais/mmlu', 'anatomy')['test']))"
    offline = there | {"HF_DATASETS_CACHE": str(away / "view"), "HF_HUB_OFFLINE": "1"}
    python = client / "bin" / "python"
    done = subprocess.run([python, "-c", script], env=offline, capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr[-2000:]


@pytest.mark.slow
def test_evalscope_runs_with_the_hub_dead(tmp_path: Path, client_environment: Callable[[str], Path]) -> None:
    client = client_environment("evalscope")
    assert evalscope.find(client).version
    command = [str(client / "bin" / "evalscope"), "eval", "--model", "mock", "--eval-type", "mock_llm"]
    command += ["--datasets", "ceval", "--limit", "1", "--work-dir", str(tmp_path / "out")]
    with FakeHub([tinydata.ceval(subjects=tinydata.CEVAL_SUBJECTS)]) as hub:
        environ = surroundings(hub, tmp_path)
        run(environ, "fetch", "--evalscope", "ceval", "--python", str(client))
        hub.die()
        assert "0 requests upstream" in run(environ, "exec", "--offline", "--private-caches", "--", *command)


@pytest.mark.slow
def test_evalscope_runs_from_an_installed_bundle(tmp_path: Path, client_environment: Callable[[str], Path]) -> None:
    client = client_environment("evalscope")
    bundle, away = str(tmp_path / "ceval.tar"), tmp_path / "away"
    away.mkdir()
    command = [str(client / "bin" / "evalscope"), "eval", "--model", "mock", "--eval-type", "mock_llm"]
    command += ["--datasets", "ceval", "--limit", "1", "--work-dir", str(away / "out")]
    with FakeHub([tinydata.ceval(subjects=tinydata.CEVAL_SUBJECTS)]) as hub:
        here, there = surroundings(hub, tmp_path), surroundings(hub, away)
        told = run(here, "bundle", "create", bundle, "--evalscope", "ceval", "--fetch", "--python", str(client))
        assert "complete" in told
    run(there, "bundle", "install", bundle, "--lock", str(away / "forebay.lock"))
    assert "0 requests upstream" in run(there, "exec", "--offline", "--private-caches", "--", *command)
    assert list((away / "out").rglob("*.json*"))
