"""Handing events on and doing jobs step by step, where a test wants to look in between."""

from __future__ import annotations

import asyncio

from marketd.kernel.events.relay import Relay
from marketd.kernel.work.job_runner import JobRunner
from marketd.mail.jobs import MAIL, SMS, MessageJobs


async def hand_on(relay: Relay) -> None:
    """Let the relay hand on what is committed, and what the handlers' own commits add, and mark it."""
    while await relay.run_once():
        pass


async def run_due(runner: JobRunner) -> bool:
    """Run one batch of due jobs, as many as there are slots, to their end; whether there was one."""
    async with asyncio.TaskGroup() as group:
        return await runner.begin_due(group)


def send_by(messages: MessageJobs, runner: JobRunner) -> None:
    """Let the runner send by these; whoever was asked before is not asked any more."""
    runner.register_outside(MAIL, messages.send_letter)
    runner.register_outside(SMS, messages.send_sms)
