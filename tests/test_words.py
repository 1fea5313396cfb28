"""The records and errors that everything else speaks in."""

import builtins
import inspect

import pytest

from forebay import errors, events
from forebay.events import Event, OncePerMessage, Tee, What
from forebay.types import Digest, Entry, Key, ObjectRef, is_hex64


def every_error() -> list[type[errors.ForebayError]]:
    found = [item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, errors.ForebayError)]
    assert len(found) > 10
    return found


@pytest.mark.parametrize("error", every_error())
def test_every_error_is_drawn_in_the_tree_with_its_builtin(error: type[errors.ForebayError]) -> None:
    drawn = next(line for line in (errors.__doc__ or "").splitlines() if f"{error.__name__} " in line + " ")
    for base in error.__bases__:
        if base.__name__ in vars(builtins) and base is not Exception:
            assert f"({base.__name__})" in drawn


@pytest.mark.parametrize("error", every_error())
def test_an_error_is_one_line_that_says_what_and_what_to_do(error: type[errors.ForebayError]) -> None:
    raised = error("no room in /data", subject="/data", hint="raise max_bytes")
    assert str(raised) == "no room in /data; raise max_bytes"
    assert raised.subject == "/data"
    assert raised.exit_code == (2 if isinstance(raised, errors.InputError) else 1)


def test_an_entry_hands_out_its_objects_by_role() -> None:
    patch = ObjectRef("patch", Digest("a" * 64), 3)
    entry = Entry("delta", Key("b" * 64), objects=(patch,))
    assert entry.object("patch") is patch
    with pytest.raises(KeyError, match="bitmap"):
        entry.object("bitmap")


@pytest.mark.parametrize(
    ("text", "fine"), [("a" * 64, True), ("A" * 64, False), ("a" * 63, False), ("a" * 64 + "\n", False)]
)
def test_the_form_of_digests(text: str, fine: bool) -> None:
    assert is_hex64(text) is fine


def test_a_warning_or_a_wait_is_told_once_and_the_rest_always() -> None:
    seen: list[Event] = []
    hook = OncePerMessage(Tee(seen.append, events.ignore))
    for _ in range(2):
        hook(Event(What.WARNING, "disk full"))
        hook(Event(What.HIT, key="k"))
    for _ in range(2):
        hook(Event(What.WAIT, "for another"))
    hook(Event(What.WARNING, "read-only"))
    assert [event.what.value for event in seen] == ["warning", "hit", "hit", "wait", "warning"]
