"""Clients of other languages that the tests run: where they are, or why a test has to do without them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).parent / "buf"
TOOLS = ROOT / ".tools"
"""What tools/foreign_clients.py has fetched."""


def fetched(name: str) -> Path:
    """A tool or folder that was fetched; the test is skipped, and says so, where it cannot be had."""
    found = TOOLS / name
    if not found.exists():
        pytest.skip(f"{name} is not in .tools: `make .tools/.complete` fetches it, or says why it cannot")
    return found


def installed(name: str) -> Path:
    """A program of this machine; the test is skipped, and says so, where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return Path(found)


def run(
    *command: str | Path, folder: Path | None = None, seconds: float = 90, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; what it said and its exit code."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def succeed(*command: str | Path, folder: Path | None = None, seconds: float = 90, **environment: str) -> str:
    """Run a program that has to succeed; its output."""
    done = run(*command, folder=folder, seconds=seconds, **environment)
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def write_descriptors(file: Path) -> Path:
    """The contract as `marketd descriptors` writes it."""
    succeed(sys.executable, "-m", "marketd", "descriptors", "-o", file)
    return file


def build_protos(file: Path) -> Path:
    """The contract as the .proto files have it, comments included; the server has no part in it."""
    succeed(BUF, "build", "-o", file, folder=ROOT)
    return file
