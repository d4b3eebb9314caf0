"""The list of faults that `make mutants` plants: each can be planted, and names tests that are there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import mutants


def test_every_fault_of_the_list_can_be_planted() -> None:
    found = mutants.read_list()
    assert len(found) >= 170
    assert mutants.check_list(found) == []


def test_a_fault_whose_text_is_gone_or_no_python_any_more_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\ny = 1\n")
    (tmp_path / "test_a.py").write_text("")

    def one(name: str, old: str, new: str, test: str = "test_a.py") -> mutants.Mutant:
        return mutants.Mutant(name, "a.py", old, new, (test,), "why")

    sound, gone, twice = one("sound", "x = 1", "x = 2"), one("gone", "z", "x"), one("twice", "1", "2")
    no_python, no_test = one("no Python", "y", "y y"), one("no test", "y", "z", "test_b.py::test_it")
    wrong = mutants.check_list([sound, gone, twice, no_python, no_test], tmp_path)
    assert [each.partition(":")[0] for each in wrong] == ["gone", "twice", "no Python", "no test"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('id = "a"\nfile = "b"\nold = "c"\nnew = "d"\ntests = ["e"]', "why is missing"),
        ('id = "a"\nfile = "b"\nold = "c"\nnew = "d"\ntests = ["e"]\nwhy = "f"\nwho = "g"', "nothing is called who"),
        ('id = "a"\nfile = "b"\nold = "c"\nnew = "c"\ntests = ["e"]\nwhy = "f"', "differs from the old one"),
        ('id = "a"\nfile = "b"\nold = "c"\nnew = "d"\ntests = []\nwhy = "f"', "it needs tests"),
    ],
)
def test_an_entry_that_proves_nothing_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mutants.toml"
    path.write_text(f"[[mutant]]\n{text}\n")
    with pytest.raises(mutants.ListError, match=told):
        mutants.read_list(path)


def test_two_faults_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = '[[mutant]]\nid = "a"\nfile = "b"\nold = "c"\nnew = "d"\ntests = ["e"]\nwhy = "f"\n'
    path = tmp_path / "mutants.toml"
    path.write_text(entry * 2)
    with pytest.raises(mutants.ListError, match="2 faults have this id"):
        mutants.read_list(path)


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_each_of_twenty_faults_is_noticed() -> None:
    """Which ones the seed says that the tool prints; `make mutants` plants all."""
    command = [sys.executable, "tools/mutants.py", "--sample", "20", "--jobs", "1"]
    ran = subprocess.run(command, cwd=mutants.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout


def test_a_file_is_run_as_it_was_planted_and_then_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compiled of a file is taken for it by its size and the second of its change, which may be the same."""
    project, folder = tmp_path / "project", tmp_path / "copy"
    (project / "server").mkdir(parents=True)
    (project / "server" / "planted.py").write_text("VALUE = 1\n")
    monkeypatch.setattr(mutants, "ROOT", project)
    monkeypatch.setattr(mutants, "_run", lambda command, folder: "server/planted.py\0")
    folder.mkdir()
    copy = mutants.Copy(folder)
    environment = copy._environment()
    assert "PYTHONDONTWRITEBYTECODE" not in environment

    def run(*_: object) -> tuple[int, str]:
        program = "import sys, planted; sys.exit(planted.VALUE != 1)"
        return subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode, ""

    monkeypatch.setattr(copy, "run", run)
    fault = mutants.Mutant("it", "server/planted.py", "1", "2", ("tests",), "why")
    for _ in range(2):
        assert run() == (0, "")
        assert copy.try_out(fault).caught
    assert run() == (0, "")
