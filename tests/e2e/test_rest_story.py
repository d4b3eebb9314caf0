"""The whole story by curl alone, as docs/examples/rest-story.sh tells it, through the gateway to two workers."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.worlds.foreign import ROOT, installed
from tests.worlds.gateway import RunningGateway
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

STORY = ROOT / "docs" / "examples" / "rest-story.sh"


@pytest.mark.usefixtures("workers")
async def test_a_purchase_to_the_door_by_curl_alone(gateway: RunningGateway) -> None:
    installed("curl")
    here = Path(sys.executable).parent  # where its python3 is
    process = await asyncio.create_subprocess_exec(
        "sh",
        str(STORY),
        gateway.url,
        env={
            "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
            "ADMIN_EMAIL": ADMIN_EMAIL,
            "ADMIN_PASSWORD": ADMIN_PASSWORD,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await asyncio.wait_for(process.communicate(), 90)
    lines = told.decode().splitlines()
    steps = [line for line in STORY.read_text().splitlines() if line.startswith("step ")]
    assert process.returncode == 0, told.decode()
    assert len(lines) == len(steps) == 15, told.decode()
    assert all(line.startswith("ok ") for line in lines)
