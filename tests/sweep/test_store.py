"""The folder: durable, resumable, one driver at a time, and plain words when the disk says no."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simsparse.errors import FileError, UsageError
from simsparse.sweep import open_study
from simsparse.sweep.figures import DIED, FAILED, OK, Row
from simsparse.sweep.store import Store
from tests.sweep.small import content, study


def test_a_study_comes_back_from_its_folder(tmp_path: Path) -> None:
    made = study(folder=tmp_path / "s", format=["csc", "bitmask", "csr"])
    back = open_study(tmp_path / "s")
    assert back.frame().equals(made.frame())
    assert back.left_out == made.left_out
    assert back.left_out


def test_the_same_study_is_continued_and_another_refused(tmp_path: Path) -> None:
    study(folder=tmp_path / "s", prune=["2:4"])
    before = content(tmp_path / "s")
    study(folder=tmp_path / "s", prune=["2:4"])
    assert content(tmp_path / "s") == before
    with pytest.raises(UsageError, match=r"6 of these 12 among them \(add --resume"):
        study(folder=tmp_path / "s", prune=["2:4", "channel:0.5"])
    assert content(tmp_path / "s") == before


def test_resuming_computes_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study(folder=tmp_path / "s", on=["eie"])
    added: list[str] = []
    real = Store.add

    def counting(store: Store, rows: Any) -> None:
        rows = list(rows)
        added.extend(row.key for row in rows)
        real(store, rows)

    monkeypatch.setattr(Store, "add", counting)
    grown = study(folder=tmp_path / "s", resume=True)
    assert set(grown.frame()["hardware"]) == {"eie", "tpu-like"}
    assert len(added) == (grown.frame()["hardware"] == "tpu-like").sum(), "only the new machine's points"


def test_points_that_failed_stay_failed_and_those_whose_worker_died_are_tried_again(tmp_path: Path) -> None:
    with Store(tmp_path, write=True) as store:
        store.add([Row(key=status, status=status, error="x") for status in (OK, FAILED, DIED)])
        assert store.done() == {OK, FAILED}


def test_rows_are_written_all_or_none(tmp_path: Path) -> None:
    bad: Any = Row(key="b", status=OK, figures=[], layers=b"")  # type: ignore[arg-type]
    with Store(tmp_path, write=True) as store:
        with pytest.raises(FileError):
            store.add([Row(key="a", status=OK), bad])
        assert store.rows() == {}


def test_a_second_driver_is_refused_by_name(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom simsparse.sweep.store import Store\n"
        f"store = Store(pathlib.Path({str(tmp_path)!r}), write=True)\n"
        "print('ready', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(FileError, match=f"process {other.pid} on .* at work"):
            Store(tmp_path, write=True)
        assert open_study(tmp_path).points == (), "reading is free"
        other.kill()
        other.communicate()
    Store(tmp_path, write=True).close()


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_schema_is_refused(tmp_path: Path, version: int) -> None:
    study(folder=tmp_path)
    file = sqlite3.connect(tmp_path / "study.sqlite")
    file.execute(f"PRAGMA user_version={version}")
    file.close()
    for attempt in (lambda: study(folder=tmp_path), lambda: open_study(tmp_path)):
        with pytest.raises(FileError, match=f"schema 1, got schema {version}"):
            attempt()


def test_other_files_are_not_taken_for_a_study(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="folder with a study, got none"):
        open_study(tmp_path)
    file = sqlite3.connect(tmp_path / "study.sqlite")
    file.execute("CREATE TABLE t (x)")
    file.close()
    with pytest.raises(FileError, match="another program"):
        study(folder=tmp_path)
    (tmp_path / "study.sqlite").write_text("hello")
    with pytest.raises(FileError, match="expected a study"):
        open_study(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="writable folder"):
        study(folder=tmp_path / "s")


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    with pytest.raises(FileError, match="writable folder"):
        study(folder=tmp_path / "s")


def test_a_read_only_file_system_in_words(tmp_path: Path) -> None:
    with Store(tmp_path, write=True) as store:
        store._file.execute("PRAGMA query_only=1")
        with pytest.raises(FileError, match="writable folder, got: attempt to write a readonly database"):
            store.add([Row(key="a", status=OK)])


def test_a_full_disk_loses_nothing_that_was_there(tmp_path: Path) -> None:
    with Store(tmp_path, write=True) as store:
        store.add([Row(key="a", status=OK)])
        (pages,) = store._file.execute("PRAGMA page_count").fetchone()
        store._file.execute(f"PRAGMA max_page_count={pages + 1}")
        with pytest.raises(FileError, match=r"room on the disk.*what is done is kept"):
            store.add([Row(key="b", status=OK, layers=os.urandom(1 << 20))])
        store._file.execute("PRAGMA max_page_count=100000")
        assert set(store.rows()) == {"a"}
        store.add([Row(key="b", status=OK)])
    with Store(tmp_path) as again:
        assert set(again.rows()) == {"a", "b"}


def test_notes_are_kept(tmp_path: Path) -> None:
    with Store(tmp_path, write=True) as store:
        store.note("measured b", 2)
        store.note("measured a", {"x": 1})
        store.note("other", 3)
        assert store.notes("measured ") == [{"x": 1}, 2]
        assert store.noted("nothing") is None
    assert json.loads((tmp_path / "driver.json").read_text())["pid"] == os.getpid()
