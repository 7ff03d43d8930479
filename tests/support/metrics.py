"""Metrics as Prometheus' own parser reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values by name and labels."""


class Only:
    """Collects what a function yields."""

    def __init__(self, collect: Callable[[], Any]) -> None:
        self.collect = collect


def samples_of(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def collected(collect: Callable[[], Any]) -> Samples:
    registry = CollectorRegistry()
    registry.register(Only(collect))
    return samples_of(generate_latest(registry).decode())


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for (each, has), value in samples.items() if each == name and labels.items() <= dict(has).items())


def fallen(seen: Sequence[Samples]) -> list[str]:
    """The counters that are smaller in one scrape than in the one before."""
    counters = ("_total", "_bucket", "_sum", "_count")
    return [
        name
        for before, after in pairwise(seen)
        for (name, labels), value in before.items()
        if name.endswith(counters) and after[name, labels] < value
    ]
