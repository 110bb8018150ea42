"""A study's folder: an SQLite file of points and results, and the lock of the one driver that may write it.

Each batch of rows is one transaction and on the disk when :meth:`Store.add` returns, so a driver killed at
any moment loses only what was not handed over yet.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simsparse.errors import FileError
from simsparse.load.document import shown_path
from simsparse.sweep.chunk import Keyed
from simsparse.sweep.figures import DIED, Row
from simsparse.sweep.points import Point

SCHEMA_VERSION = 1
_APPLICATION = 0x53535354  # "SSST", so that another program's file is never taken for a study
FILE, LOCK, DRIVER = "study.sqlite", "lock.sqlite", "driver.json"
_TABLES = """
CREATE TABLE points (ordinal INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, point TEXT NOT NULL);
CREATE TABLE results (
    key TEXT PRIMARY KEY, status TEXT NOT NULL,
    figures TEXT NOT NULL, layers BLOB NOT NULL, error TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Store:
    """Points and results of one study; in memory where ``folder`` is None."""

    def __init__(self, folder: Path | None, *, write: bool = False) -> None:
        self.folder = folder
        self._where = "study" if folder is None else shown_path(folder)
        self._lock: sqlite3.Connection | None = None
        with self._explained():
            if folder is not None and write:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock = self._locked(folder)
            self._file = self._opened(write or folder is None)

    def close(self) -> None:
        """Let go of the folder."""
        self._file.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a folder holds a study."""
        return (folder / FILE).is_file()

    def register(self, points: Sequence[Keyed]) -> None:
        """Note points, in order, which the study is to have; known ones stay where they are."""
        rows = [(key, json.dumps(point.to_dict())) for key, point in points]
        with self._explained(), self._file:
            self._file.executemany("INSERT OR IGNORE INTO points (key, point) VALUES (?, ?)", rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Write results, all or none of them."""
        values = [(row.key, row.status, row.figures, row.layers, row.error) for row in rows]
        with self._explained(), self._file:
            self._file.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)", values)

    def done(self) -> set[str]:
        """Keys that need not be computed again."""
        with self._explained():
            query = "SELECT key FROM results WHERE status != ?"
            return {key for (key,) in self._file.execute(query, (DIED,))}

    def points(self) -> list[Keyed]:
        """All points in the order of their registration."""
        with self._explained():
            rows = self._file.execute("SELECT key, point FROM points ORDER BY ordinal").fetchall()
        return [(key, Point.from_dict(json.loads(text))) for key, text in rows]

    def rows(self) -> dict[str, Row]:
        """All results by key."""
        query = "SELECT key, status, figures, layers, error FROM results"
        with self._explained():
            found = self._file.execute(query).fetchall()
        names = ("key", "status", "figures", "layers", "error")
        return {values[0]: Row(**dict(zip(names, values, strict=True))) for values in found}

    def note(self, name: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        with self._explained(), self._file:
            self._file.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, json.dumps(value)))

    def noted(self, name: str) -> Any:
        """The JSON value under a name, or None."""
        with self._explained():
            row = self._file.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def notes(self, prefix: str) -> list[Any]:
        """The JSON values under names that begin with ``prefix``, by name."""
        query = "SELECT value FROM about WHERE substr(name, 1, ?) = ? ORDER BY name"
        with self._explained():
            return [json.loads(value) for (value,) in self._file.execute(query, (len(prefix), prefix))]

    def _opened(self, write: bool) -> sqlite3.Connection:
        if self.folder is None:
            target = ":memory:"
        elif write:
            target = str(self.folder / FILE)
        else:
            if not self.exists(self.folder):
                raise FileError(
                    [f"{self._where}: expected a folder with a study, got none (simsparse sweep makes one)"]
                )
            target = f"{(self.folder / FILE).absolute().as_uri()}?mode=ro"
        file = sqlite3.connect(target, uri=not write, timeout=5.0)
        try:
            self._prepare(file, write)
        except BaseException:
            file.close()
            raise
        return file

    def _prepare(self, file: sqlite3.Connection, write: bool) -> None:
        (application,) = file.execute("PRAGMA application_id").fetchone()
        (version,) = file.execute("PRAGMA user_version").fetchone()
        (tables,) = file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if write and not tables:
            file.execute("PRAGMA journal_mode=WAL")
            file.executescript(
                f"BEGIN; {_TABLES} PRAGMA application_id={_APPLICATION};"
                f" PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )
        elif application != _APPLICATION:
            raise FileError(
                [
                    f"{self._where}/{FILE}: expected a study, got another program's file"
                    " (choose another folder)"
                ]
            )
        elif version != SCHEMA_VERSION:
            raise FileError(
                [
                    f"{self._where}: expected a study of schema {SCHEMA_VERSION}, got schema {version}"
                    " (read it with the version that wrote it, or start in a new folder)"
                ]
            )
        if write:
            file.execute(
                "PRAGMA synchronous=FULL"
            )  # a commit is on the disk, not only in the system's memory

    def _locked(self, folder: Path) -> sqlite3.Connection:
        """A lock that the system takes back when this process ends, however it ends."""
        lock = sqlite3.connect(folder / LOCK, timeout=0.0, isolation_level=None)
        try:
            lock.execute("PRAGMA journal_mode=DELETE")
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if "locked" not in str(error):
                raise
            raise FileError(
                [
                    f"{self._where}: expected to be the only driver of this study, got {_driver(folder)}"
                    " (wait for it)"
                ]
            ) from None
        me = {"pid": os.getpid(), "host": socket.gethostname()}
        (folder / DRIVER).write_text(json.dumps(me) + "\n", "utf-8")
        return lock

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Failures of the disk in one line; what is written already stays."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise FileError([f"{self._where}: expected {_problem(str(error))}"]) from None
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise FileError(
                [f"{self._where}: expected a writable folder, got: {reason} (choose another)"]
            ) from None


def _driver(folder: Path) -> str:
    try:
        who = json.loads((folder / DRIVER).read_text("utf-8"))
        return f"process {who['pid']} on {who['host']} at work"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process at work"


def _problem(text: str) -> str:
    if "full" in text:
        return (
            f"room on the disk, got: {text} (make room and run the same command again; what is done is kept)"
        )
    if "readonly" in text or "unable to open" in text:
        return f"a writable folder, got: {text} (choose another)"
    if "malformed" in text or "not a database" in text:
        return f"a study, got: {text} (choose another folder)"
    return f"to read and write the study, got: {text} (run the same command again; what is done is kept)"
