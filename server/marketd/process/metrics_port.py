"""The port that metrics are read from: plain HTTP on loopback, on a thread of its own."""

from __future__ import annotations

import selectors
import socket
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app


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
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="marketd-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more and give the port back."""
        self._end.close()
        self._thread.join()
        self._ended.close()
        self._server.server_close()

    def _serve(self) -> None:
        """Answer until the other end of the pair is closed.

        The standard library's `serve_forever` looks only now and then whether it is to end, and whoever stops waits.
        """
        with selectors.DefaultSelector() as ready:
            ready.register(self._server, selectors.EVENT_READ)
            ready.register(self._ended, selectors.EVENT_READ)
            while all(key.fileobj is self._server for key, _ in ready.select()):
                self._server.handle_request()
