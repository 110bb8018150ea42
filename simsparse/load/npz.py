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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.load.quoting import shown

MOST_BYTES = 1 << 32
"""Largest array that is read."""
_MOST_MEMBERS = 100_000
_HEADER_BYTES = 4096
_SUFFIX = ".npy"
Read = TypeVar("Read")
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
        return self._opened(name, self._read)

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of an array, of which nothing else is read.

        Raises
        ------
        FileError
            If the array is damaged or too large.
        """
        shape, _, dtype, _ = self._opened(name, self._header)
        return shape, dtype

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def _opened(self, name: str, read: Callable[[str, zipfile.ZipInfo, IO[bytes]], Read]) -> Read:
        member = self._members[name]
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as stream:
                return read(name, member, stream)
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

    def _header(
        self, name: str, member: zipfile.ZipInfo, stream: IO[bytes]
    ) -> tuple[tuple[int, ...], bool, np.dtype[Any], bytes]:
        """Shape, whether columns come first, dtype, and what of the data was read with them."""
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
        return shape, by_columns, dtype, start.read()

    def _read(self, name: str, member: zipfile.ZipInfo, stream: IO[bytes]) -> NDArray[Any]:
        shape, by_columns, dtype, begun = self._header(name, member, stream)
        flat = np.frombuffer(begun + stream.read(math.prod(shape) * dtype.itemsize), dtype)
        return flat.reshape(shape, order="F" if by_columns else "C")

    def _damaged(self, name: str, what: str) -> FileError:
        return FileError(
            [f"{self.path}: array {shown(name)}: expected an array of numbers, got {what} (write it anew)"]
        )
