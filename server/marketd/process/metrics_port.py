"""The port that metrics are read from: plain HTTP on loopback, on a thread of its own."""

from __future__ import annotations

import threading
from socketserver import ThreadingMixIn
from typing import Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

# How often the thread looks whether it is to end. prometheus_client's own server has the standard library's 0.5 s, for
# which everything else would wait when a process stops.
_LOOK_SECONDS: Final = 0.05


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """A scrape is no news."""


class MetricsPort:
    """Serves `registry` on 127.0.0.1 until it is closed. Raises OSError when the port cannot be had; 0 takes any."""

    def __init__(self, port: int, registry: CollectorRegistry) -> None:
        self._server = make_server("127.0.0.1", port, make_wsgi_app(registry), _Server, _Silent)
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_SECONDS,), name="marketd-metrics", daemon=True
        ).start()

    def close(self) -> None:
        """Answer nobody any more and give the port back."""
        self._server.shutdown()
        self._server.server_close()
