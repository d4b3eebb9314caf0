"""The readable page of the OpenAPI document in a real Chromium: nothing is loaded from elsewhere, and "try" tries."""

from __future__ import annotations

import asyncio
import json

import pytest
import requests
from playwright.async_api import async_playwright

from tests.worlds.browser import require_chromium
from tests.worlds.gateway import require_envoy
from tests.worlds.served import Served
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


async def test_the_page_shows_the_calls_and_makes_one_at_its_own_address(served: Served, both_workers: None) -> None:
    require_envoy()
    program = require_chromium()
    base = f"http://127.0.0.1:{served.gateway_port}"
    asked: list[str] = []
    faults: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            page = await browser.new_page(viewport={"width": 1300, "height": 900})
            page.set_default_timeout(90_000)  # much to draw for a busy machine
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
            await page.goto(f"{base}/docs/")
            await page.click('[data-content-id="get-/v1/users/-userId-"]')
            login = {"login": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
            signed_in = await asyncio.to_thread(requests.post, f"{base}/v1/auth:login", json=login, timeout=20)
            token = signed_in.json()["tokens"]["accessToken"]
            await page.evaluate("token => document.querySelector('rapi-doc').setApiKey('bearer', token)", token)
            await page.fill("[data-pname=userId]", "me")
            async with page.expect_response(f"{base}/v1/users/me") as answered:
                await page.click("button:text-is('TRY')")
            answer = await answered.value
            told = json.loads(await answer.body())
            sent = await answer.request.all_headers()
        finally:
            await browser.close()
    assert answer.status == 200
    assert told["user"]["email"] == ADMIN_EMAIL
    assert sent["authorization"] == f"Bearer {token}"
    assert faults == []
    assert all(url.startswith(f"{base}/") for url in asked), asked
