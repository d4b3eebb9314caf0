"""The whole story by curl alone, as docs/examples/rest-story.sh tells it, through the gateway to two workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.worlds.foreign import ROOT

if TYPE_CHECKING:
    from tests.e2e.guides.conftest import Story

STORY = ROOT / "docs" / "examples" / "rest-story.sh"


@pytest.mark.asyncio(loop_scope="session")
async def test_a_purchase_to_the_door_by_curl_alone(story: Story) -> None:
    steps = [line for line in STORY.read_text().splitlines() if line.startswith("step ")]
    lines = story.told.splitlines()
    assert story.code == 0, story.told
    assert len(lines) == len(steps) == 18, story.told
    assert all(line.startswith("ok ") for line in lines)
