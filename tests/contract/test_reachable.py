"""The analysis of what functions raise: it follows every way that the server's code has, and drops what is caught."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import reachable_samples as samples
from tests.contract.reachable import Reach

SERVICER = samples.Servicer


@pytest.mark.parametrize(
    ("function", "refusals"),
    [
        (samples.straight, {"Draining"}),
        (samples.through_another, {"Draining"}),
        (samples.caught, set()),
        (samples.suppressed, set()),
        (samples.translated, {"Overloaded"}),
        (samples.caught_and_raised_again, {"Draining"}),
        (samples.caught_otherwise, {"Draining"}),
        (samples.handed_over, {"ConcurrentUpdate", "Overloaded"}),
        (samples.judged, {"Draining", "Overloaded"}),
        (samples.made, {"Draining", "DeadlineExceeded"}),
        (samples.in_a_loop, {"Overloaded"}),
        (samples.in_a_context, {"Overloaded"}),
        (samples.round_and_round, {"Draining", "Overloaded"}),
        (samples.round_again, {"Draining", "Overloaded"}),
        (SERVICER.through_a_port, {"Draining"}),
        (SERVICER.through_a_function, {"Overloaded"}),
        (SERVICER.of_a_mapping, {"Overloaded"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_function_ends_with_what_it_and_its_callees_raise(function: Any, refusals: set[str]) -> None:
    reach = Reach(samples.__name__, {samples.Called: [samples.Below.act]})
    found = reach.settle([samples.round_again, function])[function]
    assert {each.refusal.__name__ for each in found} == refusals
    assert reach.opaque == set()


def test_a_refusal_that_comes_as_a_value_is_reported() -> None:
    reach = Reach(samples.__name__)
    assert reach.of(samples.from_elsewhere) == frozenset()
    assert reach.opaque == {f"{samples.__name__}.from_elsewhere"}


def test_each_finding_names_the_module_that_raises() -> None:
    (found,) = Reach(samples.__name__).of(samples.through_another)
    assert found.module == samples.__name__
