"""The canaries themselves: every secret that we make is known wherever it is planted, and what is public is not."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4
from wsgiref.simple_server import make_server

import grpc
import jwt
import pyotp
import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.auth.codes import credentials
from marketd.auth.sessions.refresh_tokens import RefreshTokens
from marketd.kernel.values.ids import new_id
from prometheus_client import CollectorRegistry, Counter, make_wsgi_app

from tests.canaries import MARK, PLANTED, WATCH, Watch
from tests.canary_looks import Tail, look_at_metrics


def _mixed(token: str) -> str:
    """The token with a digit in it; a few in a thousand have none, and look like words."""
    return token if any(letter.isdigit() for letter in token) else f"{token[:-1]}7"


SECRETS = {
    "password": f"correct horse {MARK} battery",
    "lowered": f"CORRECT HORSE {MARK} BATTERY".lower(),
    "raised": f"correct horse {MARK} battery".upper(),
    "url": f"postgresql://market:{MARK}@db.example/market",
    "access token": jwt.encode({"sub": str(uuid4()), "exp": 1}, "k" * 32, "HS256"),
    "refresh token": _mixed(RefreshTokens(b"r" * 32).first(new_id()).text),
    "reset token": _mixed(credentials.new_token()),
    "totp": _mixed(pyotp.random_base32()),
    "recovery code": "7QW2M-9TXKD",
    "bcrypt": "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
}
each_secret = pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)

PUBLIC = [
    json.dumps({"event": "rpc", "request_id": uuid4().hex, "user_id": str(uuid4()), "ms": 123.456789}),
    f"{datetime.now(UTC).isoformat()} [info] marketd.kernel.db.transactor transaction_retry 123456 of 654321",
    hashlib.sha256(b"a picture").hexdigest(),
    "test_an_access_token_that_was_revoked_is_refused_by_every_worker",
    "/marketplace.auth.v1.AuthService/RequestPasswordResetCompletion",
    "OxVXb4jv8kfMS7s3PxkSvXjVAVqRnRCaUlnqbXLsJYo signs in a minute.",
    'code: "RESOURCE_EXHAUSTED", exit code: 123',
    "2026-11-22 12345-67890",
]


@each_secret
@pytest.mark.parametrize(
    "place",
    [
        "{}",
        '{{"event": "login", "with": "{}", "ms": 3}}',
        "?token={}&lang=en",
        'marketd_rpc{{method="{}"}} 1',
        "to {}.",
    ],
)
def test_a_secret_is_found_in_any_text_and_masked(secret: str, place: str) -> None:
    text = place.format(secret)
    with WATCH.planted() as hits:
        WATCH.notice(text, "a log")
    assert hits
    assert {hit.where for hit in hits} == {"a log"}
    assert all(secret not in str(hit) for hit in hits)
    assert secret not in WATCH.masked(text)


@each_secret
def test_a_secret_is_found_in_the_bytes_of_a_message(secret: str) -> None:
    with WATCH.planted() as hits:
        WATCH.notice(StringValue(value=secret).SerializeToString().decode("latin-1"), "a row")
    assert hits


def test_recovery_codes_and_the_forms_of_codes_are_found() -> None:
    for code in credentials.new_recovery_codes():
        assert [found.kind for found in WATCH.find(f"use {code}, once")] == ["recovery code"]
    for text in ('"code": "482913"', "dropoff_code='482913'", "Your code is 482913", "totp_code: 482913"):
        assert [found.kind for found in WATCH.find(text)] == ["code"], text


@pytest.mark.parametrize("text", PUBLIC, ids=range(len(PUBLIC)))
def test_what_is_public_is_no_secret(text: str) -> None:
    assert WATCH.find(text) == []


def test_a_code_that_a_test_has_read_is_a_secret_until_the_test_ends() -> None:
    watch = Watch()
    assert watch.find("for 482913 see the manual") == []
    watch.code("482913")
    assert watch.masked("for 482913 see 12.482913") == "for <code> see 12.482913"
    watch.forget_codes()
    assert watch.find("for 482913 see the manual") == []


async def test_every_status_of_a_client_is_read_with_its_details() -> None:
    for place in range(3):
        status = status_pb2.Status(code=3, message="no")
        status.details.add().Pack(error_details_pb2.ErrorInfo(metadata={"given": SECRETS["refresh token"]}))
        said = ["no", "no", "no"]
        said[place] = SECRETS["refresh token"]
        packed = status.SerializeToString() if place == 2 else b""
        trailing = grpc.aio.Metadata(("x-request-id", said[1]), ("grpc-status-details-bin", packed))
        with WATCH.planted() as hits:
            grpc.aio.AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, grpc.aio.Metadata(), trailing, said[0])
        assert [hit.where for hit in hits] == ["a status that a client got"], place


def test_what_a_command_prints_is_read() -> None:
    with WATCH.planted() as hits:
        subprocess.run(
            [sys.executable, "-Ic", "import sys; print(sys.stdin.read()); sys.exit('eyJ' + 'a' * 20 + '.b' * 20)"],
            input=SECRETS["reset token"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert [hit.kind for hit in hits] == ["opaque token"]
    assert all("the output of" in hit.where for hit in hits)


def test_log_events_are_read_also_where_a_test_takes_them_away() -> None:
    with WATCH.planted() as hits, structlog.testing.capture_logs() as lines:
        structlog.get_logger().info("sign_in", given={"password": MARK})
    assert len(lines) == len(hits) == 1


def test_the_metrics_of_a_process_are_read() -> None:
    registry = CollectorRegistry()
    Counter("tried", "Tries.", ["who"], registry=registry).labels(SECRETS["access token"]).inc()
    with make_server("127.0.0.1", 0, make_wsgi_app(registry)) as server:
        scrape = threading.Thread(target=server.handle_request)
        scrape.start()
        with WATCH.planted() as hits:
            look_at_metrics(server.server_port)
        scrape.join()
    assert {hit.kind for hit in hits} == {"access token"}


def test_of_a_log_file_only_what_is_new_and_whole_is_read(tmp_path: Path) -> None:
    path, secret = tmp_path / "log", SECRETS["reset token"]
    tail = Tail(path, "the log")

    def look(*written: str) -> int:
        with path.open("a") as file:
            file.writelines(written)
        with WATCH.planted() as hits:
            tail.look()
        return len(hits)

    with WATCH.planted() as hits:
        tail.look()
    assert hits == []
    assert look(f"one {secret}\n", f"two {secret[:20]}") == 1
    assert look(f"{secret[20:]}\n") == 1
    assert look() == 0
    assert look(f"{PLANTED}: {secret}\n") == 0
    path.write_text("")
    assert look(f"anew {secret}\n") == 1


def test_hits_around_a_planted_leak_are_kept() -> None:
    watch = Watch()
    watch.notice(MARK, "before")
    with watch.planted() as hits:
        watch.notice(MARK, "within")
    watch.notice(MARK, "after")
    assert [hit.where for hit in hits] == ["within"]
    assert [hit.where for hit in watch.drain()] == ["before", "after"]
    assert watch.drain() == []
