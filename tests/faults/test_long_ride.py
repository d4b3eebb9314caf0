"""A ride of half a day goes up in one go, and every position of it is stored."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from marketd.demo.defaults import PRODUCTS
from marketd.demo.presentation import JsonScreen
from marketd.demo.records import DemoOptions
from marketd.demo.steps import run_demo

from tests.worlds.served import Served
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD

pytestmark = pytest.mark.alone

POINTS = 40_000
# It takes a few seconds; counting anew at every position, or pausing after every message, would take minutes.
_SECONDS = 60


@pytest.mark.faults
async def test_a_ride_of_forty_thousand_points_is_stored_whole(served: Served, tmp_path: Path) -> None:
    points = "".join(f'<trkpt lat="{52.4 + n * 2e-6:.6f}" lon="13.4"/>' for n in range(POINTS))
    trace = tmp_path / "day.gpx"
    trace.write_text(f"<gpx><trk><trkseg>{points}</trkseg></trk></gpx>")
    options = DemoOptions(
        target=f"127.0.0.1:{served.port}",
        products=PRODUCTS,
        trace=trace,
        speed=0,
        admin_email=ADMIN_EMAIL,
        admin_password=ADMIN_PASSWORD,
    )
    out = io.StringIO()
    async with asyncio.timeout(_SECONDS):
        held = await run_demo(options, JsonScreen(out))
    summary = json.loads(out.getvalue().splitlines()[-1])
    assert held, out.getvalue()[-2_000:]
    assert (summary["positions_sent"], summary["positions_stored"]) == (POINTS, POINTS)
    served.check()
