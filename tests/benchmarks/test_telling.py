"""Figures as text: paired ratios, quartiles, verdicts of the serving sections."""

from __future__ import annotations

import pytest

from benchmarks import report, telling


def verdicts(figures):
    lines = [[cell.strip() for cell in line.split("|")] for line in report.promises(figures).splitlines()[2:]]
    return {line[1]: (line[2], line[4]) for line in lines}


def cost(wall, cpu=1.0):
    return {"wall": wall, "cpu": cpu, "largest": 1e6, "tree": 0, "private": 0}


def test_quartiles_are_those_between_the_samples():
    assert telling.quartiles([4.0, 1.0, 3.0, 2.0, 5.0]) == (2.0, 3.0, 4.0)
    assert telling.quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_ratios_are_of_pairs_and_not_of_medians():
    assert telling.ratios([2.0, 30.0], [1.0, 10.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="longer"):
        telling.ratios([1.0], [1.0, 2.0])


def test_what_caching_costs_is_the_median_of_pairs():
    # Medians alone would say that it costs nothing: both are 10.
    runs = {
        "forebay": [cost(2.2), cost(10.0), cost(22.0)],
        "no_cache": [cost(2.0), cost(10.0), cost(20.0)],
        "data_juicer": [],
    }
    told, verdict = verdicts({"cold": runs})["what caching costs a cold run"]
    assert told.startswith("+10% (+5% … +10%) wall, +0% (+0% … +0%) CPU")
    assert verdict == "kept"


@pytest.mark.parametrize(("asked", "verdict"), [(160, "kept"), (161, "**missed**")])
def test_requests_are_counted_without_the_cdn(asked, verdict):
    counts = {"ms": asked, "hf": 0, "cdn": 99, "all": asked + 99}
    names = ("direct, cold", "direct, warm", "forebay, cold", "forebay, warm", "forebay, offline")
    none = dict.fromkeys(counts, 0)
    scope = {
        "files": 157, "requests": {name: [counts if name.endswith("cold") else none] for name in names},
        "load": {
            "evalscope, cold": [40.0], "evalscope, disk": [4.0], "evalscope, memory": [4.0],
            "evalscope through Forebay, empty caches": [8.0], "forebay.load, disk": [1.0],
            "forebay.load, memory": [0.001],
        },
    }  # fmt: skip
    told = verdicts({"evalscope": scope})
    assert told["evalscope ceval, cold, requests upstream"][1] == verdict
    assert told["… `forebay.load` against cold"] == ("disk 40.0 ×, memory 40,000 × of 40.0 s", "kept")


def test_the_floor_of_a_bundle_is_the_slowest_of_its_own_round():
    seconds = {"blake3": [1.0, 5.0], "disk": [4.0, 1.0], "create": [4.0, 5.0], "install, linked": [0.1]}
    each = {"bytes": 2e8, "seconds": seconds}
    bundle = {"text": each, "media": each, "delta": {"bytes": 11, "whole": 1000, "changed": 1, "objects": 100}}
    told = verdicts({"bundle": bundle})
    assert told["bundle create, text, share of the floor"][0].startswith("100% (100% … 100%)")
    assert told["bundle create, text, share of the floor"][1] == "kept"
    assert told["… install from an unpacked one, text"][1] == "kept"
    assert told["… delta"] == ("1.100% of the bytes for 1.00% of the objects", "**missed**")


def test_olah_is_told_where_it_was_not_measured():
    mirror = {
        "bytes": 5e8, "clients": 64, "olah": {"why_not": "nobody knows it"}, "rss": {"before": 1, "after": 2},
        "many": {"mirror": [1.0], "sendfile": [1.0]},
        "seconds": {
            "mirror, warm": [0.2], "sendfile": [0.15], "mirror, cold": [1.0], "direct, cold": [0.95],
            "mirror, cold, 1 Gbit/s": [5.0], "direct, cold, 1 Gbit/s": [4.0],
        },
    }  # fmt: skip
    told = verdicts({"mirror": mirror})
    assert told["… against olah"] == ("not measured: nobody knows it", "")
    assert told["mirror, 500 MB, warm"][1] == "kept"
    assert told["… cold, against direct"][1] == "kept"
    assert told["… cold, 1 Gbit/s, against direct"][1] == "**missed**"
