"""The story of docs/examples, told once: who comes after it finds a shop, goods, and a buyer with an order."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest_asyncio

from tests.worlds.foreign import ROOT, installed
from tests.worlds.gateway import RunningGateway
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD

SCRIPT: Final = ROOT / "docs" / "examples" / "rest-story.sh"


@dataclass(frozen=True)
class Story:
    """How it went, and what is said here instead of what pages say of the demo."""

    code: int
    told: str
    here: Mapping[str, str]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def story(shared_gateway: RunningGateway) -> Story:
    """The story, told to the shared workers."""
    installed("curl")
    gateway = shared_gateway
    await gateway.until_serving()
    run = secrets.token_hex(4)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where its python3 is
    process = await asyncio.create_subprocess_exec(
        "sh",
        str(SCRIPT),
        gateway.url,
        env={"PATH": path, "RUN": run, "ADMIN_EMAIL": ADMIN_EMAIL, "ADMIN_PASSWORD": ADMIN_PASSWORD},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await asyncio.wait_for(process.communicate(), 90)
    here = {
        "127.0.0.1:50052": gateway.target,
        "buyer1@demo.example.com": f"buyer-{run}@story.example",
        "demo-market-2026": "a long passphrase of buyer",
    }
    return Story(process.returncode or 0, told.decode(), here)
