"""Loads what tasks will load, in the harness's own interpreter: run as a script, with nothing of Forebay importable.

``python probe.py JOBS RESULTS WORKERS``: JOBS is a JSON array, RESULTS gets one JSON object per line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]

_LONGEST_ERROR = 600


def _load(job: Job) -> int:
    """Load all splits that are wanted; return their rows."""
    if job["hub"] == "ms":
        return _load_from_modelscope(job)
    import datasets  # pyright: ignore[reportMissingImports]  # of the harness
    from datasets.config import HF_DATASETS_CACHE  # pyright: ignore[reportMissingImports]

    # For what a hub does not have, datasets takes what another job has left in a cache that they share.
    options: dict[str, Any] = {"cache_dir": f"{HF_DATASETS_CACHE}/{job['number']}", **job["options"]}
    found: Any = datasets.load_dataset(job["path"], job["name"], **options)
    lost = [split for split in job["splits"] if split not in found]
    if lost:
        raise LookupError(f"no split {', '.join(lost)}; there are: {', '.join(map(str, found))}")
    return sum(_look_into(found[split]) for split in job["splits"] or found)


def _look_into(split: Any) -> int:
    """Look at a first row, as the harness will; return how many there are."""
    if not hasattr(split, "num_rows"):  # streaming
        next(iter(split), None)
        return 0
    if split.num_rows:
        split[0]
    return int(split.num_rows)


def _load_from_modelscope(job: Job) -> int:
    from evalscope.api.dataset.hub import DatasetHub  # pyright: ignore[reportMissingImports]  # of the harness

    options = dict(job["options"])
    hub: Any = DatasetHub(data_id_or_path=job["path"], revision=options.pop("revision", None))
    return sum(_look_into(hub.load(split=split, subset=job["name"] or "default", **options)) for split in job["splits"])


def _metric(job: Job) -> int:
    import evaluate  # pyright: ignore[reportMissingImports]  # of the harness

    evaluate.load(job["name"], job["config"])
    return 0


def _nltk(job: Job) -> int:
    from nltk.data import find  # pyright: ignore[reportMissingImports]  # of the harness

    try:
        find(job["place"])
    except LookupError:
        try:
            find(f"{job['place']}.zip")
        except LookupError:
            raise LookupError(f"NLTK does not find {job['place']}") from None
    return 0


_LIBRARIES = {"hf": "datasets", "ms": "evalscope.api.dataset.hub", "metric": "evaluate", "nltk": "nltk"}
_DOERS: dict[str, Callable[[Job], int]] = {"load": _load, "metric": _metric, "nltk": _nltk}


def _one(job: Job) -> Job:
    began = time.perf_counter()
    told: Job = {"number": job["number"], "ok": True, "error": "", "rows": 0}
    try:
        told["rows"] = _DOERS[job["kind"]](job)
    # Whatever a library raises is the answer that this program exists to tell.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        text = " ".join(str(error).split())
        told |= {"ok": False, "error": f"{type(error).__name__}: {text}"[:_LONGEST_ERROR]}
    return told | {"seconds": round(time.perf_counter() - began, 3)}


def _quiet() -> None:
    """Nothing but results is told: libraries' bars and warnings go nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def main(jobs_path: str, results_path: str, workers: int) -> None:
    """Do the jobs, several at a time; libraries are imported once and shared by fork where there is fork."""
    from multiprocessing import get_all_start_methods, get_context

    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # it has modules called like those that are loaded
    with open(jobs_path, encoding="utf-8") as file:  # noqa: PTH123
        jobs: list[Job] = json.load(file)
    for name in sorted({_LIBRARIES[job.get("hub", job["kind"])] for job in jobs}):
        try:
            __import__(name)
        except ImportError:
            pass  # each job that needs it will say so
    _quiet()
    method = "fork" if "fork" in get_all_start_methods() else "spawn"
    with (
        open(results_path, "w", encoding="utf-8", buffering=1) as results,  # noqa: PTH123
        get_context(method).Pool(max(1, min(workers, len(jobs)))) as pool,
    ):
        for told in pool.imap_unordered(_one, jobs):
            results.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
