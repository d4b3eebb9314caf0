"""The access log and the metrics: a finished rpc appends one tuple, and a task counts and writes them in batches.

A log line or a labelled metric at the call itself would cost more than all other links together. Nothing of a request
but its method and ids gets here: no tokens, bodies, addresses or positions.
"""

from __future__ import annotations

import asyncio
import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from marketd.transport.edge.calls import Calls
from marketd.transport.passage import Passage

_FLUSH_SECONDS = 0.1
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_HEALTH = "/grpc.health.v1.Health/Check"
_GATEWAY_ASKS = "Envoy/HC"

WriteLines = Callable[[str], object]
_Entry = tuple[str, str, str, float, float, str, UUID | None]


class Accounting(Collector):
    """Counts finished rpcs; register it with a prometheus registry, which flushes it before each scrape."""

    def __init__(self, calls: Calls, write: WriteLines | None) -> None:
        """`write` takes whole lines (one JSON object each); None writes no access log."""
        self._calls = calls
        self._write = write
        self._entries: deque[_Entry] = deque()
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._latencies: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()  # a scrape may come from a thread of its own
        # Entries carry monotonic times; the log wants the wall clock.
        self._epoch = time.time() - time.monotonic()

    def done(self, passage: Passage) -> None:
        """Note a finished rpc, but for a gateway's question whether we serve that had a yes."""
        call = passage.call
        if call.user_agent == _GATEWAY_ASKS and call.method == _HEALTH and passage.code == "OK":
            return  # once a second, and says nothing
        self._entries.append(
            (
                call.method,
                passage.code,
                passage.reason,
                passage.started,
                time.monotonic(),
                call.correlation_id,
                call.caller.user_id,
            )
        )

    async def run(self) -> None:
        """Count and write ten times a second until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            self.flush()

    def flush(self) -> None:
        """Count and write what has been noted so far."""
        with self._lock:
            entries = [self._entries.popleft() for _ in range(len(self._entries))]
            for method, code, reason, started, ended, _, _ in entries:
                self._requests[method, code, reason] += 1
                counts = self._latencies.get(method)
                if counts is None:
                    counts = self._latencies[method] = [0] * (len(_BUCKETS) + 1)
                counts[bisect_left(_BUCKETS, ended - started)] += 1
                self._seconds[method] = self._seconds.get(method, 0.0) + ended - started
            if entries and self._write is not None:
                self._write("".join(self._line(entry) for entry in entries))

    def _line(self, entry: _Entry) -> str:
        # By hand: every part is from the table, an enum, or checked by the request id's link, so nothing needs quoting.
        method, code, reason, started, ended, correlation_id, user_id = entry
        at = datetime.fromtimestamp(ended + self._epoch, UTC).isoformat(timespec="milliseconds")
        account = f'"{user_id}"' if user_id is not None else "null"
        return (
            f'{{"event":"rpc","time":"{at}","method":"{method}","code":"{code}","reason":"{reason}",'
            f'"ms":{(ended - started) * 1000:.3f},"request_id":"{correlation_id}","user_id":{account}}}\n'
        )

    def collect(self) -> Iterator[Metric]:
        """The metrics as prometheus reads them."""
        self.flush()
        requests = CounterMetricFamily(
            "marketd_rpc", "Finished rpcs by method, code and reason.", labels=("method", "code", "reason")
        )
        latency = HistogramMetricFamily("marketd_rpc_seconds", "Seconds an rpc took, by method.", labels=("method",))
        with self._lock:
            for labels, count in self._requests.items():
                requests.add_metric(labels, count)
            for method, counts in self._latencies.items():
                total, buckets = 0, []
                for bound, count in zip((*map(str, _BUCKETS), "+Inf"), counts, strict=True):
                    total += count
                    buckets.append((bound, float(total)))
                latency.add_metric((method,), buckets, self._seconds[method])
        yield requests
        yield latency
        yield GaugeMetricFamily("marketd_rpc_in_flight", "Unary rpcs being served.", value=len(self._calls.unary))
        yield GaugeMetricFamily("marketd_streams_open", "Streams being served.", value=len(self._calls.streams))
        yield GaugeMetricFamily(
            "marketd_rpc_arriving", "Rpcs whose message is not here.", value=len(self._calls.arriving)
        )
        unread = self._calls.unread
        yield GaugeMetricFamily("marketd_answers_unread", "Answers that have not gone out.", value=unread.count)
        yield GaugeMetricFamily("marketd_answers_unread_bytes", "Bytes that they hold.", value=unread.total_bytes)
