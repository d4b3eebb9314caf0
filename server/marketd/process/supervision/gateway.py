"""The gateway beside the workers: its port, the folder of the sockets between them, and how it begins and drains.

Only what a lean parent needs: the configuration is written by the program that becomes Envoy.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marketd.config import Settings
from marketd.config.forms import with_port
from marketd.process.supervision.admin_pulse import AdminPulse
from marketd.process.supervision.child import Child
from marketd.process.supervision.port import reserve_port

ADMIN_SOCKET: Final = "admin.sock"

# sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included.
_LONGEST_PATH_BYTES = 100
_ASKING_SECONDS = 1.0
_HOW_TO_CHOOSE = "make run GATEWAY_PORT=…, marketd serve --gateway-port …"


def worker_socket(folder: Path, index: int) -> Path:
    """Where the worker with this number listens for the gateway."""
    return folder / f"worker-{index}.sock"


@dataclass
class GatewayPlace:
    """One gateway of a supervisor's. `open` it before the workers start, since they listen in its folder."""

    folder: Path
    host: str
    port: int
    is_encrypted: bool
    child: Child
    pulse: AdminPulse
    was_ready: bool = False
    _serving: int = 0
    """The process that is known to serve."""
    _holder: socket.socket | None = None

    @classmethod
    def open(cls, settings: Settings) -> GatewayPlace:
        """Take its port and make its folder. Raises CannotServe."""
        host, port = settings.gateway_address
        holder = reserve_port(host, port, _HOW_TO_CHOOSE)
        taken: int = holder.getsockname()[1]
        folder = _make_folder(settings.data_dir, taken)
        program = [
            *("marketd.process.quick_import", "marketd.process.supervision.gateway_program"),
            *("--parent", str(os.getpid()), "--folder", str(folder)),
            *("--port", str(taken), "--workers", str(settings.workers)),
        ]
        child = Child("The gateway", program, settings.hang_seconds, is_worker=False)
        is_encrypted = settings.gateway_tls_cert_file is not None
        return cls(folder, host, taken, is_encrypted, child, AdminPulse(folder / ADMIN_SOCKET), _holder=holder)

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"{'https' if self.is_encrypted else 'http'}://{with_port(self.host, self.port)}"

    def look(self) -> bool:
        """Whether it has begun to serve since the last look; it is known by each that it does not hang."""
        process = self.child.process
        if process is None or not self.pulse.beats(process.pid):
            return False
        self.child.silence.heard()
        if process.pid == self._serving:
            return False
        self._serving = process.pid
        return True

    def drain(self) -> None:
        """Take no new connection from now on; calls in flight go on, and clients are told to leave."""
        if self.child.process is not None:
            drain(self.folder / ADMIN_SOCKET)

    def close(self) -> None:
        """Give the port back and remove the folder."""
        self.pulse.close()
        if self._holder is not None:
            self._holder.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def drain(admin: Path) -> None:
    """Have the Envoy with this socket take no new connection; calls in flight go on, and clients are told to leave."""
    # The first tells open connections to go, the second closes the listener without waiting for them.
    ask(admin, "POST", "/drain_listeners?graceful&skip_exit")
    ask(admin, "POST", "/drain_listeners")


def ask(admin: Path, method: str, path: str) -> str | None:
    """What Envoy's own interface answers, in chunks as they come; None when it does not, or says no."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(_ASKING_SECONDS)
            asking.connect(str(admin))
            asking.sendall(f"{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n".encode())
            heard = b""
            while part := asking.recv(65_536):
                heard += part
    except OSError:
        return None
    head, _, body = heard.partition(b"\r\n\r\n")
    return body.decode(errors="replace") if head.split(b" ")[1:2] == [b"200"] else None


def _make_folder(data_dir: Path, port: int) -> Path:
    """A folder of ours alone whose paths are short enough for sockets.

    It is named by the port, which nobody else has: what is there already is of one that was killed.
    """
    folder = (data_dir / "run" / f"gateway-{port}").absolute()
    if len(os.fsencode(worker_socket(folder, 999))) > _LONGEST_PATH_BYTES:
        folder = Path(tempfile.gettempdir()) / f"marketd-{os.getuid()}-{port}"
        if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != os.getuid()):
            # Anybody may make a folder there, and what lies in this one is trusted.
            return Path(tempfile.mkdtemp(prefix="marketd-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    return folder
