"""Damaged files, loader by loader: our error or a workload, little memory, nothing outside the folder."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import TARGETS

MOST_BYTES = 48 * 2**20
_watched: list[list[str]] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if _watched and event in ("open", "pickle.find_class", "subprocess.Popen", "os.system"):
        _watched[-1].append(f"{event} {arguments[0]}")


sys.addaudithook(_note)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What is opened, unpickled or started meanwhile."""
    _watched.append([])
    try:
        yield _watched[-1]
    finally:
        _watched.pop()


def outside(events: list[str], folder: Path) -> list[str]:
    """Events that no loader may cause; modules imported on first use are not meant."""
    base = folder.parent
    return [
        event
        for event in events
        if not event.startswith("open ") or (event.startswith(f"open {base}") and str(folder) not in event)
    ]


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A valid file with bytes changed, cut out, doubled, or numbers replaced."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del data[at : at + draw(st.integers(1, 40))]
            case 2:
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at : at + draw(st.integers(0, 3))] = draw(st.sampled_from(ODD))
            case 4:
                del data[at:]
    return bytes(data)


ODD = (
    b"-1",
    b"0",
    b"99999999999999999999",
    b"1e400",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'"../secret.safetensors"',
    b"\x00\xff",
    b"4294967296",
    b"1e999999999",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "secret.safetensors").write_bytes(TARGETS["safetensors"].seeds[1])
    return folder


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files(name: str, base: Path) -> None:
    target, folder = TARGETS[name], base / name
    folder.mkdir()
    target.prepare(folder)
    for seed in target.seeds:
        assert target.run(folder, seed) == ""

    @given(damaged(target.seeds))
    @settings(max_examples=40, deadline=None)
    def attempt(data: bytes) -> None:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with watched() as events:
            target.run(folder, data)
        assert not outside(events, folder)
        assert tracemalloc.get_traced_memory()[1] - before < MOST_BYTES

    tracemalloc.start()
    try:
        attempt()
    finally:
        tracemalloc.stop()


def test_the_watch_sees_a_read_outside(base: Path) -> None:
    with watched() as events:
        (base / "secret.safetensors").read_bytes()
    assert outside(events, base / "smtx")
