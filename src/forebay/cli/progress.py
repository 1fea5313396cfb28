"""How far a run is: what events tell, summed up for a view. No terminal is touched here.

The engine tells with `What.PROGRESS`; `facts` has ``phase``:

- ``plan``: ``operators`` (names, in order), ``shards`` (how many), ``rows`` (of the source, when known);
- ``operator``: one operator has been done or found for one shard: ``index``, ``reused``, ``rows_in``, ``rows_out``,
  ``seconds``;
- ``read``, ``summary``, ``export`` and others: `message` says what is being done now.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from forebay.events import Event, What

_TELLING = 0.04
"""Part of all results from which on a rate tells something: the first ones pay for imports and set-up."""


@dataclass(slots=True)
class OperatorProgress:
    """One operator over all shards so far."""

    name: str
    computed: int = 0
    reused: int = 0
    rows_in: int = 0
    rows_out: int = 0
    seconds: float = 0.0
    """Computing time, summed over workers."""

    @property
    def done(self) -> int:
        """Shards that have a result."""
        return self.computed + self.reused


@dataclass(slots=True)
class RunProgress:
    """A run so far. Feed it events; not for several threads."""

    clock: Callable[[], float] = time.monotonic
    operators: list[OperatorProgress] = field(default_factory=list)
    shards: int = 0
    rows: int = 0
    """Rows of the source, 0 before they are known."""
    doing: str = ""
    """What is done now, where that is not an operator over a shard."""
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.clock()

    def note(self, event: Event) -> bool:
        """Take an event in; return whether it changed anything."""
        if event.what is not What.PROGRESS:
            return False
        phase = event.facts.get("phase")
        if phase == "plan":
            names = cast("list[str]", event.facts["operators"])
            self.operators = [OperatorProgress(name) for name in names]
            self.shards, self.rows = _whole(event, "shards"), _whole(event, "rows")
            self.doing = ""
        elif phase == "operator":
            operator = self.operators[_whole(event, "index")]
            if event.facts.get("reused"):
                operator.reused += 1
            else:
                operator.computed += 1
                operator.seconds += event.seconds
            operator.rows_in += _whole(event, "rows_in")
            operator.rows_out += _whole(event, "rows_out")
            self.doing = ""
        elif event.message:
            self.doing = event.message
        return True

    @property
    def elapsed(self) -> float:
        """Wall seconds since the beginning."""
        return self.clock() - self.began

    @property
    def done(self) -> int:
        """Results there are: operators x shards."""
        return sum(operator.done for operator in self.operators)

    @property
    def computed(self) -> int:
        """Results that were computed."""
        return sum(operator.computed for operator in self.operators)

    @property
    def total(self) -> int:
        """Results there will be."""
        return len(self.operators) * self.shards

    @property
    def rows_per_second(self) -> float:
        """Rows of the source that go through the whole recipe per wall second; what was reused does not count."""
        if not self.total or self.elapsed <= 0:
            return 0.0
        return self.rows * self.computed / self.total / self.elapsed

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the wall seconds to go, or None while too little was computed to tell.

        Each operator's mean time over a shard, for its remaining shards, divided by how many worked at once so far. An
        operator that has not computed yet is taken to be as slow as the mean of the others.
        """
        spent = sum(operator.seconds for operator in self.operators)
        if self.computed < _TELLING * self.total or spent <= 0 or self.elapsed <= 0:
            return None
        mean = spent / self.computed
        ahead = 0.0
        for operator in self.operators:
            per_shard = operator.seconds / operator.computed if operator.computed else mean
            ahead += per_shard * (self.shards - operator.done)
        return ahead * self.elapsed / spent


def _whole(event: Event, name: str) -> int:
    value = event.facts.get(name)
    return value if isinstance(value, int) else 0
