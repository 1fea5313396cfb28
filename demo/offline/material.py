"""What the demo needs: an environment with lm-eval, packages that carry real data, a hub that serves them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from forebay.testing import FakeHub, Repository, realdata

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "demo" / "offline"
WORK = ROOT / "demo" / "work"
TASK_FOLDER = HERE / "tasks"
_LOCK = ROOT / "requirements" / "offline-demo.lock"


def lm_eval_environment() -> Path:
    """Return the folder of an environment that has lm-eval: the one that is there, or built now (minutes)."""
    given = os.environ.get("FOREBAY_CLIENT_ENVS")
    if given and (Path(given) / "lmeval" / "bin" / "lm_eval").exists():
        return Path(given).absolute() / "lmeval"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "client_envs.py"), "lmeval"], check=True)
    return ROOT / ".venvs" / "lmeval"


def wheels() -> Path:
    """Return the folder with the wheels that carry data, which `make` has downloaded."""
    folder = WORK / "wheels"
    wanted = [line.split()[0].split("==") for line in _LOCK.read_text("utf-8").splitlines() if "==" in line]
    for name, version in wanted:
        if not any(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl")):
            sys.exit(f"demo: {folder} has no {name} {version}; `make demo-offline` downloads it")
    return folder


def hub(folder: Path) -> FakeHub:
    """Return a hub with the data of those wheels, and the metric that humaneval loads."""
    code = (HERE / "code_eval.py").read_bytes()
    files = {"README.md": "---\nsdk: static\n---\n", "code_eval.py": code}
    return FakeHub([*realdata.every(folder), Repository("evaluate-metric/code_eval", type="space", files=files)])
