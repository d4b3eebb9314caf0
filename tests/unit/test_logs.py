"""What a log line looks like, whoever says it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SAYS = """
import logging, structlog, sys
from marketd.process import logs
logs.configure("info", "json")
try:
    raise ValueError("duplicate key\\nDETAIL:  Key (email)=(%s) already exists.\\nHINT:  none" % sys.argv[1])
except ValueError:
    {line}
"""


def _said(line: str) -> dict[str, str]:
    """The one line that a process of its own writes: logging is set up once a process."""
    # Not in the source: Python 3.13 shows its lines in traces.
    command = [sys.executable, "-c", SAYS.format(line=line), "kim@example.com"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    (written,) = ran.stderr.splitlines()
    return dict(json.loads(written))


def test_what_a_library_says_is_one_json_line() -> None:
    said = _said('logging.getLogger("lib").warning("odd:\\n%s", "forged")')
    assert (said["event"], said["logger"], said["level"]) == ("odd:\nforged", "lib", "warning")
    assert said["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "line", ['structlog.get_logger().exception("broken")', 'logging.getLogger("lib").exception("broken")']
)
def test_a_trace_says_what_went_wrong_without_the_row(line: str) -> None:
    said = _said(line)
    assert "ValueError: duplicate key" in said["exception"]
    assert "\nHINT:  none" in said["exception"]
    assert "kim@example.com" not in str(said)
