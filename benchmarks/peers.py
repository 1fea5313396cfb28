"""The tools Forebay is measured against: their environments and their commands.

- Data-Juicer 1.6.1, as its users run it: ``dj-process --config recipe.yaml``, the same recipe file. It lives in an
  environment of its own (its pins clash with everyone's): ``python -m benchmarks.peers`` builds it under
  ``benchmarks/work/peer`` or in ``$FOREBAY_BENCH_PEER``, some 1.5 GB, and is then found by `benchmarks.run`.
- olah, another mirror of Hugging Face, in an environment of its own too: ``python -m benchmarks.peers olah``, under
  ``benchmarks/work/peers`` or in ``$FOREBAY_BENCH_PEERS``.
- Hugging Face `datasets`, from the environment that runs the benchmark: `benchmarks/peer_datasets.py`.

Data-Juicer gets what its cache needs to work at all: a fixed job id (as shipped the key holds a time-stamped folder, so
that it never hits), its own cache folder, and the network switched off.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import folders
from benchmarks.measure import Command

ROOT = Path(__file__).resolve().parent
# aiohttp is imported by Data-Juicer at start but not among its requirements.
PACKAGES = ("py-data-juicer==1.6.1", "datasets==5.2.0", "aiohttp")
OLAH = "olah==0.5.4"
OFFLINE = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def environment() -> Path:
    """Return the folder of Data-Juicer's environment, built or not."""
    return Path(os.environ.get("FOREBAY_BENCH_PEER") or ROOT / "work" / "peer")


def data_juicer() -> Path | None:
    """Return Data-Juicer's command, or None where it is not installed."""
    command = environment() / "bin" / "dj-process"
    return command if command.exists() else None


def olah() -> Path | None:
    """Return the interpreter of olah's environment, or None where it is not installed."""
    python = _olah_environment() / "bin" / "python"
    return python if (python.parent / "olah-cli").exists() else None


def _olah_environment() -> Path:
    return Path(os.environ.get("FOREBAY_BENCH_PEERS") or ROOT / "work" / "peers") / "olah"


def build() -> Path:
    """Build Data-Juicer's environment unless it is there; return its command.

    Raises:
        RuntimeError: another process is building it (or died while it did: remove the folder).
    """
    found = data_juicer()
    return found or _build(environment(), PACKAGES) / "dj-process"


def build_olah() -> Path:
    """Build olah's environment unless it is there; return its interpreter.

    Raises:
        RuntimeError: as `build`; or it cannot be installed here.
    """
    found = olah()
    return found or _build(_olah_environment(), (OLAH,)) / "python"


def _build(folder: Path, packages: Sequence[str]) -> Path:
    """Make an environment; return the folder of its commands."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        raise RuntimeError(f"{folder} exists but is not complete; remove it and try again") from None
    venv.create(folder, with_pip=True)
    told = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages]
    done = subprocess.run(told, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"cannot install {' '.join(packages)}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return folder / "bin"


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of installed packages, "" for what is not there."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({name: found.get(name.lower(), '') for name in sys.argv[1:]}))"
    )
    import json

    return json.loads(subprocess.run([python, "-c", code, *packages], check=True, capture_output=True).stdout)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without what would change a tool's behaviour behind our back.

    Python may write its bytecode: an installed package has it, and compiling is no part of a start-up.
    """
    dropped = ("PYTHON", "FOREBAY_", "HF_", "DJ_", "OMP_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, **OFFLINE, **(extra or {})}


class DataJuicer:
    """Runs of Data-Juicer over one corpus, with one cache folder."""

    def __init__(self, command: Path, work: Path, corpus: Path) -> None:
        self.command, self.work, self.corpus = command, work, corpus
        self.cache = work / "cache"
        self.export = work / "out" / "result.jsonl"

    def fresh(self) -> None:
        """Forget everything."""
        folders.fresh(self.work)

    def run(self, recipe: Path, *, job: str = "bench", compress: str = "") -> Command:
        """Return one whole run; an empty `job` lets Data-Juicer make up a job id, as it does by itself."""
        argv = [
            str(self.command), "--config", str(recipe), "--dataset_path", str(self.corpus),
            "--export_path", str(self.export), "--ds_cache_dir", str(self.cache),
        ]  # fmt: skip
        if job:
            argv += ["--job_id", job]
        if compress:
            argv += ["--cache_compress", compress]
        path = f"{self.command.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return Command(argv, self.work, clean_environment({"PATH": path}), self.work / "log.txt")


class Datasets:
    """Runs of the same work written against Hugging Face `datasets`."""

    def __init__(self, work: Path, corpus: Path) -> None:
        self.work, self.corpus = work, corpus
        self.cache = work / "cache"
        self.export = work / "result.jsonl"

    def fresh(self) -> None:
        """Forget everything."""
        folders.fresh(self.work)

    def run(self, *, processes: int = 2) -> Command:
        """Return one whole run."""
        argv = [sys.executable, "-m", "benchmarks.peer_datasets", str(self.corpus), str(self.export)]
        env = clean_environment({"HF_HOME": str(self.cache), "PYTHONPATH": str(ROOT.parent)})
        return Command([*argv, "--np", str(processes)], self.work, env, self.work / "log.txt")


if __name__ == "__main__":
    print(build_olah() if sys.argv[1:] == ["olah"] else build())
