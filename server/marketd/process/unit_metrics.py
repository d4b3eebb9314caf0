"""The metric of units of work: how often each ran, how it ended and how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from marketd.kernel.db.unit_times import BOUNDS, UnitTimes


class UnitMetrics(Collector):
    """`marketd_unit_seconds{unit,outcome}`, made of the transactor's own counts when somebody scrapes."""

    def __init__(self, times: UnitTimes) -> None:
        self._times = times

    def collect(self) -> Iterator[Metric]:
        """The histogram of each unit and outcome."""
        family = HistogramMetricFamily(
            "marketd_unit_seconds", "Units of work by name and outcome.", labels=["unit", "outcome"]
        )
        edges = [*(str(bound) for bound in BOUNDS), "+Inf"]
        for unit, outcome, found in self._times:
            counts = accumulate(found.buckets)
            family.add_metric([unit, outcome], list(zip(edges, counts, strict=True)), found.seconds)
        yield family
