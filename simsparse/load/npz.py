"""An ``.npz`` file as a mapping that reads one array at a time and trusts nothing in it.

The zip's directory and each array's header are read first; pickled objects, encrypted or absurdly packed
members and headers that disagree with the member's size are refused before anything of that size is
allocated.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.load.quoting import shown

MOST_BYTES = 1 << 32
"""Largest array that is read."""
_MOST_MEMBERS = 100_000
_HEADER_BYTES = 4096
_SUFFIX = ".npy"
_DAMAGE = (
    OSError,
    EOFError,
    ArithmeticError,
    ValueError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged member raises: RuntimeError for passwords, deep nesting and unknown packings too."""


class NpzArrays(Mapping[str, NDArray[Any]]):
    """The arrays of an ``.npz`` file by name; each is read when it is asked for.

    Raises
    ------
    FileError
        If the file is no readable zip, or, when an array is asked for, that one is damaged or too large.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = archive.infolist()
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise FileError([f"{self.path}: expected an .npz file, got: {reason}"]) from None
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            raise FileError(
                [f"{self.path}: expected an .npz file, got another kind (numpy.savez writes them)"]
            ) from None
        if len(members) > _MOST_MEMBERS:
            raise FileError(
                [f"{self.path}: expected at most {_MOST_MEMBERS} arrays, got {len(members)} (split the file)"]
            )
        self._members = {
            member.filename.removesuffix(_SUFFIX): member
            for member in members
            if member.filename.endswith(_SUFFIX)
        }

    def __getitem__(self, name: str) -> NDArray[Any]:
        member = self._members[name]
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as stream:
                return self._read(name, member, stream)
        except (
            OSError,
            EOFError,
            ValueError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ):
            raise self._damaged(name, "a damaged one") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def _read(self, name: str, member: zipfile.ZipInfo, stream: IO[bytes]) -> NDArray[Any]:
        start = io.BytesIO(stream.read(_HEADER_BYTES))
        version = np.lib.format.read_magic(start)
        if version not in ((1, 0), (2, 0)):
            raise self._damaged(name, f"version {version[0]}.{version[1]}")
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, by_columns, dtype = read(start, max_header_size=_HEADER_BYTES)
        if dtype.hasobject or dtype.kind not in "biuf":
            raise self._damaged(name, f"one of {dtype}, which is no number")
        size = math.prod(shape) * dtype.itemsize
        if size > MOST_BYTES or size != member.file_size - start.tell():
            raise self._damaged(name, f"{size} bytes in a member of {member.file_size}")
        flat = np.frombuffer(start.read() + stream.read(size), dtype)
        return flat.reshape(shape, order="F" if by_columns else "C")

    def _damaged(self, name: str, what: str) -> FileError:
        return FileError(
            [f"{self.path}: array {shown(name)}: expected an array of numbers, got {what} (write it anew)"]
        )
