"""A real Chromium for the page in clients/web/hello: the one of this machine, or the test does without."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, async_playwright

from tests.worlds.foreign import ROOT

HELLO = ROOT / "clients" / "web" / "hello"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Root may not use its sandbox, and nothing is fetched but the pages of the test.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


def require_chromium() -> Path:
    """The browser's program; skips the test where there is none."""
    for name in _NAMES:
        if (found := shutil.which(name)) is not None:
            return Path(found)
    pytest.skip("there is no Chromium: apt-get install chromium")


class Visit:
    """A page, and what it did that no page of ours may do."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.faults: list[str] = []
        self.called: list[str] = []
        page.on("request", lambda request: self._note(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda said: self._hear(said.type, said.text))

    def _note(self, url: str) -> None:
        self.called.append(url.removeprefix(self.base))
        if not url.startswith(self.base):
            self.faults.append(f"called {url}")

    def _hear(self, kind: str, text: str) -> None:
        # What the network does to it is the test's own doing; Chromium writes that down itself.
        if kind in {"error", "warning"} and "Failed to load resource" not in text:
            self.faults.append(text)

    async def sign_in(self, login: str, password: str) -> None:
        """By the form; returns when the cart is there."""
        await self.page.fill("#login", login)
        await self.page.fill("#password", password)
        await self.page.click("#sign-in-now")
        await self.page.wait_for_selector("#mine:not([hidden]) #orders:not([hidden])")
        await self.page.wait_for_selector("#cart[data-pieces]")

    async def buy(self, longitude: float) -> None:
        """Put the newest thing into the cart, have it quoted for an address that is written, and order it."""
        page = self.page
        await page.locator("#goods .foot button").first.click()
        await page.wait_for_selector('#cart:not([data-pieces="0"])')
        for field, text in {"street": "Torstr. 1", "city": "Berlin", "postal-code": "10119"}.items():
            await page.fill(f"#{field}", text)
        await page.fill("#latitude", "52.53")
        await page.fill("#longitude", str(longitude))
        await page.click("#ask-quote")
        await page.click("#place")
        await page.wait_for_selector('#order-list [data-state="PENDING_PAYMENT"]')

    async def story(self) -> list[str]:
        """The states that the page has told, oldest first."""
        told: list[str] = await self.page.eval_on_selector_all("#story li", "items => items.map(i => i.dataset.state)")
        return told

    async def told(self, state: str, seconds: float = 40) -> None:
        """Wait until the page tells this state last."""
        await self.page.wait_for_selector(f'#story li[data-state="{state}"]:last-child', timeout=seconds * 1000)

    async def axe(self) -> list[str]:
        """What axe-core finds wrong for those who cannot see, or use the keyboard."""
        await self.page.evaluate((HELLO / "node_modules/axe-core/axe.min.js").read_text())
        found: Any = await self.page.evaluate("axe.run().then(result => result.violations)")
        return [f"{each['id']}: {[node['html'] for node in each['nodes']][:3]}" for each in found]


@asynccontextmanager
async def visiting(base: str, **options: Any) -> AsyncIterator[Visit]:
    """A page of a new browser, on the hello page at the address, which has listed what is sold."""
    program = require_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            context = await browser.new_context(**{"viewport": {"width": 1200, "height": 850}, **options})
            visit = Visit(await context.new_page(), base)
            await visit.page.goto(base)
            await visit.page.wait_for_selector("#goods li")
            yield visit
        finally:
            await browser.close()


async def lose_first_answer(route: Route, seen: list[bytes | None]) -> None:
    """Let the server do it, and keep its first answer from the page; `seen` gets what the page has sent."""
    seen.append(route.request.post_data_buffer)
    answer = await route.fetch()
    if len(seen) == 1:
        await route.abort("connectionreset")
    else:
        await route.fulfill(response=answer)
