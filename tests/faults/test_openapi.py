"""Five minutes of calls made up from the OpenAPI document, by a buyer, a seller, a courier, an admin and nobody.

No 500, no status and no reason that is not documented, no error without a reason, no answer that breaks its schema;
whatever the calls do to the accounts that make them, which are replaced.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from marketd.demo.defaults import PASSWORD as DEMO_PASSWORD

from tests.worlds.gateway import require_envoy
from tests.worlds.rest_calls import RestCalls
from tests.worlds.rest_people import People
from tests.worlds.served import DEMO_SHOWN, Served
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD

SECONDS = 300.0
LEAST_ANSWERED = 95
SHARE = 0.3
"""Of a core: it lasts as long whatever it gets, and other tests have something to do meanwhile."""

pytestmark = [pytest.mark.faults, pytest.mark.minutes, pytest.mark.timeout(SECONDS + 180)]


@pytest.fixture
def busy() -> Iterator[Served]:
    """A server of its own with demo data and a gateway, since little of it is as before when the test has ended."""
    require_envoy()
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        Path(folder).chmod(0o755)
        server = Served(Path(folder), demo=True, gateway=True)
        try:
            server.start()
            server.create_admin()
            server.wait_for(DEMO_SHOWN, seconds=90)
            yield server
        finally:
            server.stop()
            server.forget()


def test_whatever_is_called_is_answered_as_documented(
    busy: Served, record_property: Callable[[str, object], None]
) -> None:
    url = f"http://127.0.0.1:{busy.gateway_port}"
    document = requests.get(f"{url}/openapi.json", timeout=20).json()
    known = {
        role: [(f"{role.lower()}{number}@demo.example.com", DEMO_PASSWORD) for number in (1, 2, 3)]
        for role in ("BUYER", "SELLER", "COURIER")
    }
    chance = secrets.randbits(32)
    calls = RestCalls(url, document, People(url, ADMIN_EMAIL, ADMIN_PASSWORD, known), chance)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not calls.findings:
        calls.run(calls.unary, 3, end=end, share=SHARE)
        calls.run(calls.unary, 1, negative=True, end=end, share=SHARE)
    record_property("calls", f"chance {chance}: {dict(calls.statuses)}, {len(calls.answered)} methods answered 200")
    assert not calls.findings, f"chance {chance}\n" + "\n\n".join(f"{k}\n{v}" for k, v in calls.findings.items())
    assert len(calls.answered) >= LEAST_ANSWERED, sorted(set(map(str, calls.unary)) - calls.answered)
