"""The port that metrics are read from."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from marketd.process.metrics_port import MetricsPort
from prometheus_client import CollectorRegistry, Counter


def test_metrics_are_served_until_the_port_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    registry = CollectorRegistry()
    Counter("probes", "Counted by this test.", registry=registry).inc(3)
    port = MetricsPort(0, registry)
    address = f"http://127.0.0.1:{port.port}/metrics"
    with urllib.request.urlopen(address, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "probes_total 3.0" in answer.read().decode()
    with pytest.raises(OSError, match="in use"):
        MetricsPort(port.port, registry)
    port.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)
    MetricsPort(port.port, registry).close()  # had anew at once
    assert capfd.readouterr() == ("", "")  # a scrape is no news
