"""Kernels on disk are made anew when a file that is compiled into them changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from simsparse.kernels import _jit, spmm_run


def test_every_kernel_depends_on_the_whole_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    index = spmm_run.share._cache._cache_file  # type: ignore[attr-defined]
    assert index._source_stamp[1] == _jit._folder_stamp()
    folder = tmp_path / "kernels"
    folder.mkdir()
    monkeypatch.setattr(_jit, "__file__", str(folder / "_jit.py"))
    stamps = []
    for text in ("a = 1\n", "a = 2\n"):
        (folder / "part.py").write_text(text)
        _jit._folder_stamp.cache_clear()
        stamps.append(_jit._folder_stamp())
    _jit._folder_stamp.cache_clear()
    assert stamps[0] != stamps[1]
