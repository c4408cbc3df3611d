"""SecantusDB's sibling in Rust (crate secantus-mdb), the second server that the tests run on.

It speaks the same protocol over the same storage, with a query engine of its own: what two engines agree
on is no quirk of one. ``scripts/sibling`` builds it once, outside the checkout.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pymongo import MongoClient

#: Builds the server, or says with ``--path`` where its program is once it is built.
SCRIPT: Final = Path(__file__).parents[2] / "scripts" / "sibling"
STOP_SECONDS: Final = 20.0
_USER: Final = "speechaid"
_ROLES: Final = ("readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor")


def sibling_program() -> Path | None:
    """The server's program; None where it has not been built."""
    said = subprocess.run([SCRIPT, "--path"], check=True, capture_output=True, text=True)
    program = Path(said.stdout.strip())
    return program if program.is_file() else None


class Sibling:
    """One server process, on loopback, behind a password of its own."""

    def __init__(self, program: Path, directory: Path, *, sync_on_commit: bool = False) -> None:
        """Say how it is to run; nothing happens before :meth:`start`.

        Args:
            program: what ``sibling_program`` found.
            directory: for its files; made if missing.
            sync_on_commit: fsync each commit, which the server does only when asked to.
        """
        self._directory = directory
        self._command = [str(program), "--host", "127.0.0.1", "--port", "0", "--auth"]
        self._command += ["--storage-path", str(directory / "data"), "--log-level", "WARNING"]
        if sync_on_commit:
            self._command.append("--sync-on-commit")
        self._process: subprocess.Popen[str] | None = None
        #: Of the one user; None: not made yet.
        self._password: str | None = None

    def start(self) -> str:
        """Start the server on a free port, and return its address with user and password.

        Raises:
            RuntimeError: it ended at once; its log says why.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        log = self._directory / "server.log"
        with log.open("ab") as errors:
            # A session of its own: a Ctrl-C that ends the tests must not end their database first.
            self._process = subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env={**os.environ, "RUST_BACKTRACE": "1"},
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if "listening on " not in said:
            self.stop()
            raise RuntimeError(f"the sibling did not start: {log.read_text().strip() or said}")
        address = said.rpartition("listening on ")[2].strip()
        if self._password is None:
            self._password = secrets.token_urlsafe(16)
            # As with MongoDB, the first user may be made without logging in, from this machine alone.
            with MongoClient[dict[str, object]](f"mongodb://{address}/", directConnection=True) as client:
                client.admin.command("createUser", _USER, pwd=self._password, roles=list(_ROLES))
        return f"mongodb://{_USER}:{quote(self._password)}@{address}/?authSource=admin"

    def kill(self) -> None:
        """End the server with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    def stop(self) -> None:
        """End the server; one that does not end by itself is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
