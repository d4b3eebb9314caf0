"""Distributions as their users get them: built by hatchling, and laid out without pip and without a network."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "clients" / "python"


def built(source: Path, out: Path, target: Literal["wheel", "sdist"] = "wheel") -> Path:
    """The file that hatchling makes of the distribution in `source`."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    ran = subprocess.run(command, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    return Path(ran.stdout.strip().splitlines()[-1])


def requirements(wheel: Path) -> list[Requirement]:
    """What a wheel declares that it needs, without its extras."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return _without_extras(message_from_bytes(archive.read(name)).get_all("Requires-Dist", []))


def _without_extras(lines: list[str]) -> list[Requirement]:
    parsed = [Requirement(line) for line in lines]
    return [each for each in parsed if each.marker is None or each.marker.evaluate({"extra": ""})]


def lay_out(wheel: Path, site: Path) -> None:
    """Make `site` the site-packages that `pip install WHEEL` would: the wheel, and what it and its needs declare.

    What it needs is linked from this environment, where it is installed already.
    """
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    wanted, done = requirements(wheel), set[str]()
    while wanted:
        name = wanted.pop().name
        if name in done:
            continue
        done.add(name)
        found = distribution(name)
        wanted += _without_extras(found.requires or [])
        for file in found.files or []:
            if ".." not in file.parts:  # scripts lie beside site-packages
                link = site / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(str(found.locate_file(file)))
