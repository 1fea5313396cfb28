"""How fast each native operator is: megabytes of text a second on one core, with the machine's floor beside it.

``python -m benchmarks.operators`` measures CPU seconds, not wall seconds, so that neighbours on the machine disturb
less: one round of every operator after another, several rounds, and the median of each with its spread. The floor is
what one pass over the same bytes costs: `bytes.translate`, which most operators do at least once. With ``--peer``, and
where Data-Juicer is installed, its own operators run over the same texts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from benchmarks import corpus
from benchmarks.measure import Spread
from forebay.pipeline import catalog
from forebay.pipeline.operator import OperatorKind

SHARD_BYTES = 4 << 20


def shards_of(texts: list[str]) -> list[pa.Table]:
    """Cut texts into tables of about a shard each."""
    shards: list[pa.Table] = []
    rows: list[str] = []
    size = 0
    for text in texts:
        rows.append(text)
        size += len(text.encode("utf-8"))
        if size >= SHARD_BYTES:
            shards.append(pa.table({"text": rows}))
            rows, size = [], 0
    return [*shards, pa.table({"text": rows})] if rows else shards


def corpora(megabytes: float) -> dict[str, list[str]]:
    """Return texts of several kinds, each of about this size."""
    mixed: list[str] = []
    size, number = 0, 0
    while size < megabytes * 1e6:
        mixed.append(corpus.text(number))
        size += len(mixed[-1].encode("utf-8"))
        number += 1
    other = ["".join(chr(0x4E00 + int(bit) % 2500) for bit in corpus.bits(n, 600)) + "。" for n in range(400)]
    other *= max(int(megabytes * 1e6 / sum(len(text.encode("utf-8")) for text in other)), 1)
    accents = [text.replace("e", "é", 5).replace("'", "’") for text in mixed if text.isascii()]
    return {"mixed": mixed, "accents": accents, "han": other}


def work(name: str, params: dict[str, Any], shards: list[pa.Table]) -> Callable[[], None]:
    """Return what one pass of an operator over shards does: all but the global half."""
    use = catalog.find(name).bind(params)
    operator = use.load()

    def mapper() -> None:
        for shard in shards:
            operator.map(shard)

    def measured() -> None:
        for shard in shards:
            operator.keep(shard, operator.stats(shard))

    def summarised() -> None:
        for shard in shards:
            operator.summarise(shard)

    return {OperatorKind.MAPPER: mapper, OperatorKind.FILTER: measured}.get(use.kind, summarised)


def peer(name: str, params: dict[str, Any], texts: list[str]) -> Callable[[], None]:
    """Return what one pass of Data-Juicer's operator over the same texts does."""
    import data_juicer.ops  # noqa: F401 - registers every operator
    from data_juicer.ops.base_op import OPERATORS

    operator = OPERATORS.modules[name](**params)
    kind = catalog.find(name).kind

    def once() -> None:
        if kind is OperatorKind.MAPPER:
            operator.process_batched({"text": list(texts)})
        elif kind is OperatorKind.FILTER:
            batch = {"text": texts, "__dj__stats__": [{} for _ in texts]}
            list(operator.process_batched(operator.compute_stats_batched(batch)))
        else:
            for text in texts:
                operator.compute_hash({"text": text})

    return once


def seconds(once: Callable[[], None]) -> float:
    start = time.process_time()
    once()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="operators whose name holds this")
    parser.add_argument("--peer", action="store_true", help="Data-Juicer's own, too")
    arguments = parser.parse_args()
    names = [name for name in catalog.names() if catalog.find(name).reads == ("{text_key}",) and arguments.only in name]
    print(
        f"MB/s a core: median (low to high) of {arguments.rounds} rounds; {arguments.megabytes:g} MB of text a corpus"
    )
    for label, texts in corpora(arguments.megabytes).items():
        size = sum(len(text.encode("utf-8")) for text in texts) / 1e6
        shards = shards_of(texts)
        flat = "".join(texts).encode("utf-8")
        jobs = {"floor: one bytes.translate": lambda flat=flat: flat.translate(bytes(256))}
        jobs |= {name: work(name, {}, shards) for name in names}
        if arguments.peer:
            jobs |= {f"{name} (Data-Juicer)": peer(name, {}, texts) for name in names}
        samples: dict[str, list[float]] = {job: [] for job in jobs}
        for _ in range(arguments.rounds):
            for job, once in jobs.items():
                samples[job].append(size / max(seconds(once), 1e-9))
        print(f"\n{label}: {len(texts)} texts, {size:.1f} MB, {len(shards)} shards")
        for job, rates in samples.items():
            spread = Spread.of(rates)
            print(f"  {job:<52} {spread.median:8.1f}  ({spread.low:.1f} to {spread.high:.1f})")


if __name__ == "__main__":
    main()
