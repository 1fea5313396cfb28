"""Builds the environments of programs that Forebay serves unmodified: their versions as users have them.

::

    python scripts/client_envs.py                 all of them, into .venvs/
    python scripts/client_envs.py hf5 ms          these
    python scripts/client_envs.py --lock hf5      renew requirements/clients/hf5.lock

Each is locked with hashes (requirements/clients/NAME.lock) and built once; it is built anew when its lock changes.
PyTorch comes first and by itself, in whatever build pip's settings point at; the locks are made as if nobody needed it,
so that none of its gigabytes for GPUs come along.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "requirements" / "clients"
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Environment:
    packages: tuple[str, ...]
    torch: bool = False


ENVIRONMENTS = {
    "hf5": Environment(("datasets==5.2.0", "huggingface_hub==2.4.0")),
    "hf4": Environment(("datasets==4.8.4", "huggingface_hub==1.33.0")),
    "ms": Environment(("modelscope==1.40.2",)),
    "datasets36": Environment(("datasets==3.6.0",)),
    "lmeval": Environment(("lm-eval[hf,ifeval]==0.4.13", "evaluate==0.4.6"), torch=True),
    "evalscope": Environment(("evalscope==1.14.1",), torch=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ENVIRONMENTS)}; none: all")
    parser.add_argument("--into", type=Path, default=ROOT / ".venvs", help="the folder to build them in")
    parser.add_argument("--lock", action="store_true", help="renew the locks instead (needs uv)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(ENVIRONMENTS):
        parser.error(f"no such environment: {', '.join(sorted(unknown))}")
    for name in options.names or ENVIRONMENTS:
        lock(name) if options.lock else build(name, options.into)


def lock(name: str) -> None:
    environment = ENVIRONMENTS[name]
    LOCKS.mkdir(exist_ok=True)
    target = LOCKS / f"{name}.lock"
    told = ["--custom-compile-command", f"python scripts/client_envs.py --lock {name}", "--no-emit-index-url"]
    command = ["uv", "pip", "compile", "--quiet", "--upgrade", "--python-version", "3.11", "--generate-hashes", *told]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
        overrides.write("torch ; python_version < '3'\n")  # that is: never
        overrides.flush()
        command += ["--override", overrides.name, "-", "-o", str(target)]
        subprocess.run(command, input="\n".join(environment.packages), text=True, check=True)
    print(target)


def build(name: str, into: Path) -> None:
    """Build one, unless it is there as its lock says."""
    folder, locked = into / name, LOCKS / f"{name}.lock"
    stamp = folder / ".built"
    what = hashlib.sha256(locked.read_bytes() + repr(ENVIRONMENTS[name]).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == what:
        return
    shutil.rmtree(folder, ignore_errors=True)
    print(f"building {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if ENVIRONMENTS[name].torch:
        subprocess.run([*pip, TORCH], check=True)
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(locked)], check=True)
    stamp.write_text(what)


if __name__ == "__main__":
    main()
