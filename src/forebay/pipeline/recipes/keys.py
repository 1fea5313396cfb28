"""The keys of a run's work: BLAKE3 over a tagged JSON list; the tag's number is raised when the meaning changes.

========== ==========================================================================================================
``source``  content of a file + how it is cut -> byte ranges of its shards
``delta``   operator + what it sees of one shard (`Shard.state` of the columns it reads)
``summary`` the per-shard half of a global operator, likewise
``global``  operator + digests of all summaries in dataset order -> one selection per shard
``table``   what is in it: schema and shards
``run``     contents of the sources, reading options, operators, export format
========== ==========================================================================================================

Paths, project names, process counts, hosts and times are in none of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from blake3 import blake3

from forebay.types import JSON, Digest, Key


def key_of(*parts: JSON) -> Key:
    """Return the key of a tagged list; the first part says what it is the key of, with a version."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return Key(blake3(text.encode("utf-8", "surrogatepass")).hexdigest())


def delta(operator: str, state: Digest) -> Key:
    """Key of one operator over one shard."""
    return key_of("forebay.delta/1", operator, state)


def conform(state: Digest, gap: JSON) -> Key:
    """Key of bringing one shard to its table's schema."""
    return key_of("forebay.conform/1", state, gap)


def summary(operator: str, state: Digest) -> Key:
    """Key of a global operator's summary of one shard."""
    return key_of("forebay.summary/1", operator, state)


def global_half(operator: str, summaries: Sequence[Digest]) -> Key:
    """Key of a global operator's choice over all shards."""
    return key_of("forebay.global/1", operator, list(summaries))


def source(digest: Digest, spelling: JSON) -> Key:
    """Key of how a file is cut into shards; `spelling` is the reader's format and options."""
    return key_of("forebay.source/1", digest, spelling)


def table(manifest: JSON) -> Key:
    """Key of a table: its content."""
    return key_of("forebay.table/1", manifest)


def run(origin: Sequence[JSON], operators: Sequence[str], export: str) -> Key:
    """Key of a whole run; `origin` is what the dataset is, by content and in order."""
    return key_of("forebay.run/1", list(origin), list(operators), export)


def task(operators: Sequence[str], state: Digest) -> Key:
    """Key of the lease on one stage over one shard."""
    return key_of("forebay.task/1", list(operators), state)
