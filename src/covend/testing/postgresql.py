"""A private PostgreSQL server for tests: its own files, a Unix socket, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg

from covend.testing.waiting import eventually

START_SECONDS = 30.0
STOP_SECONDS = 30.0


def programs() -> Path | None:
    """The folder of the newest installed server's programs, or None if there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found and (os.getuid() != 0 or _postgres_user()):
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path and os.getuid() != 0 else None


class PostgresServer:
    """One server with one database ``covend``; as root it runs as the user ``postgres``.

    Use it as a context manager. Needs ``programs()``.
    """

    def __init__(self, *settings: str) -> None:
        """``settings`` are server settings such as ``fsync=off``."""
        folder = programs()
        if folder is None:
            raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
        self._programs = folder
        self._settings = settings
        # Not under pytest's own folder: that is closed to the user that the server runs as.
        self.home = Path(tempfile.mkdtemp(prefix="covend-pg-"))
        self._user: int | None = None
        self._group: int | None = None
        if os.getuid() == 0:
            entry = pwd.getpwnam("postgres")
            self._user, self._group = entry.pw_uid, entry.pw_gid
            os.chown(self.home, entry.pw_uid, entry.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        try:
            self._run(
                "initdb", "-D", "data", "-U", "covend", "-A", "trust", "--no-sync", "-E", "UTF8"
            )
            self.start()
            with psycopg.connect(self.dsn(database="postgres"), autocommit=True) as db:
                db.execute("CREATE DATABASE covend")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def dsn(self, schema: str | None = None, database: str = "covend") -> str:
        """The address of its database, with ``schema`` as the search path if given."""
        address = f"postgresql://covend@/{database}?host={quote(str(self.home), safe='')}"
        return f"{address}&options={quote(f'-csearch_path={schema}')}" if schema else address

    def start(self) -> None:
        """Start the server and wait until it answers; recovers what a kill left."""
        settings = ("listen_addresses=", f"unix_socket_directories={self.home}", *self._settings)
        command = [str(self._programs / "postgres"), "-D", str(self.home / "data")]
        with open(self.home / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*command, *(part for setting in settings for part in ("-c", setting))],
                cwd=self.home,
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._group,
            )
        eventually(self._answers, START_SECONDS, "PostgreSQL is up")

    def stop(self) -> None:
        """Stop the server in order, breaking its connections."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End the server at once, as a power cut would: the next start recovers from its log."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended: {(self.home / 'log').read_text()[-2000:]}")
        try:
            psycopg.connect(self.dsn(database="postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self._programs / name), *arguments]
        done = subprocess.run(
            command,
            cwd=self.home,
            capture_output=True,
            timeout=60,
            check=False,
            user=self._user,
            group=self._group,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed: {done.stderr.decode(errors='replace')}")


def _postgres_user() -> bool:
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return False
    return True
