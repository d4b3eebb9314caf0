"""What REST says when no worker answers."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

from marketd.gateway.gateway import Upstream

from tests.worlds.echo import Echo, serving
from tests.worlds.gateway import running
from tests.worlds.parts import make_settings


async def test_without_a_worker_the_error_says_when_to_come_again(tmp_path: Path) -> None:
    settings = make_settings("postgresql://nobody@127.0.0.1:1/nowhere")
    async with AsyncExitStack() as stack:
        async with serving(Echo([])) as port:
            upstream = Upstream(host="127.0.0.1", port=port)
            gateway = await stack.enter_async_context(running(settings, tmp_path, [upstream]))
        for path in ("/v1/orders/7", "/v1/orders/7:watch"):
            status, headers, body = await gateway.fetch(path)
            error = json.loads(body)
            assert (status, error["code"], error["details"][0]["reason"]) == (503, 14, "OVERLOADED")
            assert (headers["content-type"], headers["retry-after"]) == ("application/json", "1")
