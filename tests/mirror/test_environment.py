"""What programs are told, as their shells understand it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from forebay.errors import InputError
from forebay.mirror.environment import Wanted, applied, as_json, as_shell, variables

AWKWARD = {"A": 'it\'s a \\ "test" $HOME `x`', "B": "", "C": "ü ✓", "D": None}


def shown(shell: str, lines: str) -> dict[str, str]:
    """Return what a shell makes of the lines."""
    names = "import os,json;print(json.dumps({n: os.environ[n] for n in 'ABCD' if n in os.environ}))"
    command = {"sh": ["sh", "-c"], "bash": ["bash", "-c"], "fish": ["fish", "-c"]}[shell]
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "D": "old", "LANG": "C.UTF-8"}
    python = shutil.which("python3") or "python3"
    done = subprocess.run([*command, f'{lines}\n{python} -c "{names}"'], env=environ, capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("shell", ["sh", "bash", "fish"])
def test_shells_take_it(shell) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    lines = as_shell(AWKWARD, "fish" if shell == "fish" else "sh")
    assert shown(shell, lines) == {name: value for name, value in AWKWARD.items() if value is not None}


def test_powershell_quotes() -> None:
    assert as_shell({"A": "it's", "B": None}, "powershell").splitlines() == [
        "$Env:A = 'it''s'",
        "Remove-Item Env:B -ErrorAction Ignore",
    ]


def test_fish_quotes() -> None:
    assert as_shell({"A": "it's \\", "B": None}, "fish").splitlines() == ["set -gx A 'it\\'s \\\\'", "set -e B"]


def test_json() -> None:
    assert json.loads(as_json(AWKWARD)) == AWKWARD


def test_a_line_break_is_refused() -> None:
    with pytest.raises(InputError, match="line break"):
        as_shell({"A": "x\ny"}, "sh")


def test_switches_to_offline_mode_are_turned_off() -> None:
    told = variables(Wanted("http://127.0.0.1:1/"), {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": ""})
    assert told["HF_HUB_OFFLINE"] == "0"
    assert "TRANSFORMERS_OFFLINE" not in told
    assert told["HF_ENDPOINT"] == told["MODELSCOPE_ENDPOINT"] == "http://127.0.0.1:1"


def test_a_proxy_is_passed_by_on_this_machine_only() -> None:
    present = {"http_proxy": "http://proxy:3128", "no_proxy": "intern.example"}
    assert variables(Wanted("http://127.0.0.1:1"), present)["NO_PROXY"] == "intern.example,127.0.0.1,localhost,::1"
    assert "NO_PROXY" not in variables(Wanted("https://mirror.example"), present)


def test_what_the_user_has_set_stays() -> None:
    told = variables(Wanted("http://127.0.0.1:1"), {"HF_HUB_ETAG_TIMEOUT": "7"})
    assert (told["HF_HUB_ETAG_TIMEOUT"], told["HF_HUB_DOWNLOAD_TIMEOUT"]) == ("7", "120")


def test_a_token_is_shown_beside_the_hub_s() -> None:
    wanted = Wanted("https://mirror", token="mine")
    assert variables(wanted, {})["HF_TOKEN"] == "mine"
    once = variables(wanted, {"HF_TOKEN": "hf_abc"})["HF_TOKEN"]
    assert once == "mine:hf_abc"
    assert variables(wanted, {"HF_TOKEN": once})["HF_TOKEN"] == once


def test_own_caches_keep_the_token() -> None:
    present = {"HOME": "/home/ann", "HF_DATASETS_CACHE": "/big"}
    told = variables(Wanted("http://127.0.0.1:1", caches=Path("/tmp/x")), present)
    assert told["HF_HOME"] == "/tmp/x/huggingface"
    assert told["HF_TOKEN_PATH"] == "/home/ann/.cache/huggingface/token"
    environ = applied(told, present)
    assert "HF_DATASETS_CACHE" not in environ
    assert environ["HOME"] == "/home/ann"
