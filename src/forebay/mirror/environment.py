"""What unmodified programs must find in their environment to ask a mirror, and how shells are told.

Read by the programs when they are imported, so it has to be there before they start.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from forebay.errors import ConfigError, InputError

Shell: TypeAlias = Literal["sh", "fish", "powershell"]
SHELLS: tuple[Shell, ...] = get_args(Shell)

_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")
_DIRECT = ("127.0.0.1", "localhost", "::1")
_CACHES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_EVALUATE_CACHE", "HF_METRICS_CACHE",
           "HF_ASSETS_CACHE", "HF_MODULES_CACHE", "HF_XET_CACHE", "TRANSFORMERS_CACHE")  # fmt: skip


def check_addresses(urls: Iterable[str]) -> None:
    """Return if these can be hubs' addresses.

    Raises:
        ConfigError: one cannot.
    """
    for url in urls:
        if not re.fullmatch(r"https?://[^/?#\s]+[^?#\s]*", url):
            raise ConfigError(f"not an address: {url!r}", subject=url, hint="write https://huggingface.co")


def check_server() -> None:
    """Return if a mirror can be run here.

    Raises:
        ConfigError: its server is not installed.
    """
    if find_spec("granian") is None:
        raise ConfigError("the mirror needs granian, which is not installed", hint="pip install granian")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the environment shall say.

    Attributes:
        endpoint: address of the mirror, without the last slash.
        token: the mirror's own token; "" where it asks for none.
        ca_bundle: certificates to trust, where the mirror's own is not known to the system.
        nltk_data: a folder of NLTK's data, if there is one.
        datasets_cache: a cache of its own for the datasets library; None: the one that it has.
        caches: where the programs shall keep what they make of it; None: where they always do.
    """

    endpoint: str
    token: str = ""
    ca_bundle: Path | None = None
    nltk_data: Path | None = None
    caches: Path | None = None
    datasets_cache: Path | None = None


def variables(wanted: Wanted, present: Mapping[str, str]) -> dict[str, str | None]:
    """Return what has to be set; None: to be removed.

    The switches to offline mode are set to 0: with a mirror they are of no use, and in the way of a new configuration
    of a dataset that is there. Time-outs that the user has set stay.

    Args:
        wanted: what it shall say.
        present: the environment as it is.
    """
    endpoint = wanted.endpoint.rstrip("/")
    told: dict[str, str | None] = {
        "HF_ENDPOINT": endpoint,
        "MODELSCOPE_ENDPOINT": endpoint,
        "MODELSCOPE_DOMAIN": endpoint.partition("://")[2],  # deprecated, but still read by some of its releases
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # evaluate and older datasets would ask another host
        "HF_HUB_ETAG_TIMEOUT": present.get(
            "HF_HUB_ETAG_TIMEOUT", "120"
        ),  # the first answer of a cold mirror takes a while
        "HF_HUB_DOWNLOAD_TIMEOUT": present.get("HF_HUB_DOWNLOAD_TIMEOUT", "120"),
    }
    told |= dict.fromkeys((name for name in _OFFLINE if present.get(name)), "0")
    told |= _past_proxies(endpoint, present)
    if wanted.token:
        hub = present.get("HF_TOKEN", "")
        told["HF_TOKEN"] = hub if hub.startswith(f"{wanted.token}:") else f"{wanted.token}:{hub}".rstrip(":")
        told["MODELSCOPE_API_TOKEN"] = wanted.token
    if wanted.ca_bundle:
        told |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(wanted.ca_bundle))
    if wanted.nltk_data:
        there = present.get("NLTK_DATA", "")
        told["NLTK_DATA"] = f"{wanted.nltk_data}:{there}".rstrip(":")
    if wanted.caches:
        told |= _own_caches(wanted.caches, present)
    if wanted.datasets_cache:
        told["HF_DATASETS_CACHE"] = str(wanted.datasets_cache)
    return told


def _past_proxies(endpoint: str, present: Mapping[str, str]) -> dict[str, str | None]:
    """A proxy must not be asked for what is on this machine."""
    host = re.sub(r":\d+$", "", endpoint.partition("://")[2]).strip("[]")
    if host not in _DIRECT:
        return {}
    listed = [
        each.strip() for each in (present.get("no_proxy") or present.get("NO_PROXY") or "").split(",") if each.strip()
    ]
    all_of_it = ",".join(dict.fromkeys((*listed, *_DIRECT)))
    return {"NO_PROXY": all_of_it, "no_proxy": all_of_it}


def _own_caches(folder: Path, present: Mapping[str, str]) -> dict[str, str | None]:
    """The programs' caches below `folder`; a token kept beside the old ones is still found."""
    token = present.get("HF_TOKEN_PATH") or str(usual_hf_home(present) / "token")
    told: dict[str, str | None] = {name: None for name in _CACHES if name in present}
    return told | {
        "HF_HOME": str(folder / "huggingface"),
        "HF_TOKEN_PATH": token,
        "MODELSCOPE_CACHE": str(folder / "modelscope"),
    }


def usual_hf_home(present: Mapping[str, str]) -> Path:
    """Return where huggingface_hub keeps its things in an environment."""
    cache = present.get("XDG_CACHE_HOME") or str(_expanded(present.get("HOME", "~")) / ".cache")
    return _expanded(present.get("HF_HOME") or str(Path(cache) / "huggingface"))


def usual_datasets_cache(present: Mapping[str, str]) -> Path:
    """Return where the datasets library keeps its things in an environment."""
    return _expanded(present.get("HF_DATASETS_CACHE") or str(usual_hf_home(present) / "datasets"))


def _expanded(path: str) -> Path:
    """As those programs do it: where no home folder is known, ``~`` stays as it is."""
    return Path(os.path.expanduser(path))


def applied(told: Mapping[str, str | None], present: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with what has to be set, set."""
    merged: dict[str, str | None] = {**present, **told}
    return {name: value for name, value in merged.items() if value is not None}


def as_shell(told: Mapping[str, str | None], shell: Shell) -> str:
    """Return lines for a shell to evaluate.

    Raises:
        InputError: a value that a shell cannot take.
    """
    lines: list[str] = []
    for name, value in told.items():
        if value is not None and ("\0" in value or "\n" in value):
            raise InputError(f"{name} holds a line break", subject=name)
        lines.append(_LINES[shell](name, value))
    return "\n".join(lines)


def as_json(told: Mapping[str, str | None]) -> str:
    """Return them as one JSON object; null: to be removed."""
    return json.dumps(told, ensure_ascii=False, indent=2)


def _sh(name: str, value: str | None) -> str:
    import shlex

    return f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str | None) -> str:
    quoted = "" if value is None else value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -e {name}" if value is None else f"set -gx {name} '{quoted}'"


def _powershell(name: str, value: str | None) -> str:
    quoted = "" if value is None else value.replace("'", "''")
    return f"Remove-Item Env:{name} -ErrorAction Ignore" if value is None else f"$Env:{name} = '{quoted}'"


_LINES = {"sh": _sh, "fish": _fish, "powershell": _powershell}
