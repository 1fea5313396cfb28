"""Errors on their way from a worker to its parent, as JSON."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

from forebay.errors import ForebayError
from forebay.pipeline.workers.messages import Message
from forebay.types import JSON


def error_to_json(error: BaseException) -> Message:
    """Return an exception as JSON, with its traceback as text."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, ForebayError):
        return {"class": type(error).__name__, "what": error.what, "hint": error.hint, "traceback": text}
    what = f"{type(error).__name__}: {error}"
    return {"class": "BuildError", "what": f"a worker failed: {what}", "hint": "", "traceback": text}


class WorkerTraceback(Exception):
    """Carries a worker's traceback as text, as the cause of the error raised in its stead."""

    def __str__(self) -> str:
        return f"in a worker:\n{self.args[0]}"


def error_from_json(data: Mapping[str, JSON]) -> ForebayError:
    """Return the exception that `error_to_json` wrote; its cause shows the worker's traceback."""
    from forebay import errors

    found = getattr(errors, str(data["class"]), errors.BuildError)
    error: ForebayError = found(str(data["what"]), hint=str(data.get("hint", "")))
    error.__cause__ = WorkerTraceback(str(data.get("traceback", "")))
    return error
