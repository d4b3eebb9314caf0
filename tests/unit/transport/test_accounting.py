"""What the metrics say of calls that are over: how many, how they ended, and how long they took."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from marketd.transport.edge.accounting import Accounting
from marketd.transport.edge.calls import Calls

METHOD = "/marketplace.order.v1.OrderService/PlaceOrder"
USER = UUID("0190f3f3-0000-7000-8000-000000000001")


def over(seconds: float, code: str = "OK", reason: str = "") -> Any:
    """A call that took so long."""
    caller = SimpleNamespace(user_id=USER)
    call = SimpleNamespace(method=METHOD, user_agent="", correlation_id="find-me", caller=caller)
    return SimpleNamespace(call=call, code=code, reason=reason, started=time.monotonic() - seconds)


def test_a_call_stands_in_the_first_bucket_that_it_fits_and_in_all_above() -> None:
    lines: list[str] = []
    accounting = Accounting(Calls(), lines.append)
    for passage in (over(0.06), over(0.06, "NOT_FOUND", "NOT_FOUND"), over(3), over(100)):
        accounting.done(passage)
    samples = {(s.name, *s.labels.values()): s.value for metric in accounting.collect() for s in metric.samples}
    seconds = "marketd_rpc_seconds"
    bounds = ("0.05", "0.1", "2.5", "5.0", "30.0", "+Inf")
    within = {bound: samples[f"{seconds}_bucket", METHOD, bound] for bound in bounds}
    assert within == {"0.05": 0, "0.1": 2, "2.5": 2, "5.0": 3, "30.0": 3, "+Inf": 4}
    assert samples[f"{seconds}_count", METHOD] == 4
    assert 103 < samples[f"{seconds}_sum", METHOD] < 110
    assert samples["marketd_rpc_total", METHOD, "OK", ""] == 3
    assert samples["marketd_rpc_total", METHOD, "NOT_FOUND", "NOT_FOUND"] == 1
    written = [json.loads(line) for line in "".join(lines).splitlines()]
    assert [(line["code"], line["reason"], line["user_id"]) for line in written][1] == (
        "NOT_FOUND",
        "NOT_FOUND",
        str(USER),
    )
    assert [round(line["ms"] / 1000) for line in written] == [0, 0, 3, 100]
