"""The metric of units of work."""

from __future__ import annotations

import pytest
from marketd.kernel.db.unit_times import UnitTimes
from marketd.process.unit_metrics import UnitMetrics


def test_units_of_work_are_counted_by_their_name_and_how_they_ended() -> None:
    times = UnitTimes()
    for seconds in (0.0005, 0.003, 9.0):
        times.note("order.place", "OK", seconds)
    times.note("order.place", "DEADLINE_EXCEEDED", 5.0)
    [family] = UnitMetrics(times).collect()
    found = {(sample.name, *sample.labels.values()): sample.value for sample in family.samples}
    assert found["marketd_unit_seconds_count", "order.place", "OK"] == 3
    assert found["marketd_unit_seconds_sum", "order.place", "OK"] == pytest.approx(9.0035)
    assert found["marketd_unit_seconds_bucket", "order.place", "OK", "0.001"] == 1
    assert found["marketd_unit_seconds_bucket", "order.place", "OK", "5.0"] == 2
    assert found["marketd_unit_seconds_bucket", "order.place", "OK", "+Inf"] == 3
    assert found["marketd_unit_seconds_count", "order.place", "DEADLINE_EXCEEDED"] == 1
