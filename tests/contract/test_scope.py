"""docs/scope.md does not call for what is there already, and forgets no service."""

from __future__ import annotations

import re

from google.protobuf import descriptor_pool
from marketd.app import SERVICES

from tests.worlds.foreign import ROOT

PAGE = (ROOT / "docs" / "scope.md").read_text()


def test_what_is_said_to_come_is_not_there_yet_and_every_service_has_its_line() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.partition("## Not in 1.0")[0].splitlines() if line[:2] == "| "]
    named = {name for area, *_ in rows for name in re.findall(r"`(\w+)`", area)}
    to_come = {name for *_, last in rows for name in re.findall(r"`(\w+)`", last)}
    pool = descriptor_pool.Default()
    methods = {method.name for service in SERVICES for method in pool.FindServiceByName(service).methods}
    assert {service.rpartition(".")[2] for service in SERVICES} <= named
    assert len(to_come) > 50
    assert to_come & methods == set()
