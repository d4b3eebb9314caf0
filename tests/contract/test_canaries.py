"""The canaries cover the whole run: a test that gives a secret away fails, and no test uses a password without MARK."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.canaries import MARK, WATCH

ROOT = Path(__file__).resolve().parents[2]

LEAKY = """
import logging, subprocess, sys
import grpc, pytest, structlog

SECRET = "a passphrase {mark}"
log = structlog.get_logger()

@pytest.fixture
def leaves():
    yield
    log.info("left", by=SECRET)

def test_an_event():
    log.debug("sign_in", given={{"password": SECRET}})

def test_a_trace():
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("rpc failed")

def test_a_library():
    logging.getLogger("asyncio").warning("odd: %s", SECRET)

def test_a_line_on_standard_output():
    print(SECRET)

def test_a_child():
    subprocess.run([sys.executable, "-Ic", "import sys; print(sys.argv[1], file=sys.stderr)", SECRET], check=True)

def test_a_childs_pipe():
    subprocess.run([sys.executable, "-Ic", "import sys; sys.exit(sys.argv[1])", SECRET], stderr=subprocess.PIPE)

def test_a_status():
    grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata(), SECRET)

def test_a_fixture_at_its_end(leaves):
    pass

def test_discretion():
    log.info("sign_in", given="***")
"""

_PYTEST = ("-m", "pytest", "-p", "tests.canary_taps", "-p", "no:cacheprovider", "-q", "-rA", "--tb=native")

# A literal that is somebody's password, or is compared with one, in whatever call or constant.
_PASSWORD = re.compile(
    r"\b(?:\w*password\w*|\w*pepper|(?:[A-Z]+_)?(?:PASSWORD|PEPPER)\w*)(?:: [\w.]+)?"
    r' ?= ?(?:SecretStr\()?(f?)"([^"\n]{3,})"'
)


def test_a_test_that_gives_a_secret_away_fails_and_says_where_without_the_secret(tmp_path: Path) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY.format(mark=MARK))
    with WATCH.planted():
        ran = subprocess.run(
            [sys.executable, *_PYTEST, "--rootdir", str(tmp_path), str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert MARK not in ran.stdout + ran.stderr
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", ran.stdout, re.MULTILINE))
    leaky = set(re.findall(r"^def (test_\w+)", LEAKY, re.MULTILINE)) - {"test_discretion"}
    assert failed == leaky, ran.stdout
    assert len(set(re.findall(r"^PASSED \S+::(test_discretion)", ran.stdout, re.MULTILINE))) == 1
    assert ran.stdout.count("gives a secret away") >= len(leaky)


def test_every_password_of_the_tests_has_the_mark_inside() -> None:
    plain = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path.name not in ("test_auth_passwords.py", "test_settings.py", Path(__file__).name)
        for match in _PASSWORD.finditer(path.read_text())
        if not (match[1] and "{MARK}" in match[2])
    ]
    assert plain == []
