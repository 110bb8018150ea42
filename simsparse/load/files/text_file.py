"""Small text files of other tools, read whole within a bound: JSON and tables."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from simsparse.errors import FileError
from simsparse.load.document import shown_path
from simsparse.load.quoting import shown

MAX_NUMBER_DIGITS = 18


def read_bytes(path: Path, *, most_bytes: int, what: str) -> bytes:
    """All bytes of a regular file.

    Raises
    ------
    FileError
        If it is no regular file, is empty, cannot be read, or holds more than ``most_bytes``.
    """
    name = shown_path(path)
    try:
        if not path.is_file():
            got = "a folder" if path.is_dir() else "no regular file"
            raise FileError([f"{name}: expected {what}, got {got} (check the path)"])
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            data = stream.read(min(size, most_bytes) + 1)  # read(n) makes room for n bytes at once
    except (OSError, ValueError) as error:
        reason = (error.strerror or "an error") if isinstance(error, OSError) else "no usable path"
        raise FileError([f"{name}: expected a readable file, got: {reason} (check the path)"]) from None
    if not data:
        raise FileError([f"{name}: expected {what}, got an empty file (fetch it again)"])
    if len(data) > most_bytes:
        limit = f"{most_bytes // 2**20} MiB" if most_bytes >= 2**20 else f"{most_bytes} bytes"
        raise FileError([f"{name}: expected at most {limit} of {what}, got more (is it the right file?)"])
    return data


def read_text(path: Path, *, most_bytes: int, what: str) -> str:
    """All text of a UTF-8 file.

    Raises
    ------
    FileError
        As :func:`read_bytes`, and if the bytes are no UTF-8.
    """
    data = read_bytes(path, most_bytes=most_bytes, what=what)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        got = f"byte 0x{byte:02x} (save it as UTF-8)"
        raise FileError([f"{shown_path(path)}:{line}: expected {what} in UTF-8, got {got}"]) from None


def parse_json_object(data: bytes, where: str) -> dict[str, Any]:
    """The one JSON object that ``data`` holds.

    Raises
    ------
    FileError
        If it is no JSON, no object, repeats a key, or holds a number that is not finite or very long.
    """

    def refuse(text: str) -> Any:
        raise ValueError(f"the number {text[:40]}")

    def integer(text: str) -> int:
        return int(text) if len(text) <= MAX_NUMBER_DIGITS + 1 else refuse(text)

    try:
        found = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=refuse, parse_int=integer
        )
    except json.JSONDecodeError as error:
        got = f"{error.msg.lower()} at line {error.lineno}, column {error.colno}"
        raise FileError([f"{where}: expected JSON, got: {got} (fetch the file again)"]) from None
    except RecursionError:
        raise FileError([f"{where}: expected JSON nested less deep (fetch the file again)"]) from None
    except ValueError as error:  # not UTF-8, a repeated key, a number that is none
        got = "other bytes than UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise FileError([f"{where}: expected JSON, got {got} (fetch the file again)"]) from None
    if not isinstance(found, dict):
        raise FileError([f"{where}: expected a JSON object, got {shown(found)} (fetch the file again)"])
    return found


def is_count(word: str) -> bool:
    """Whether a word is a whole number that fits 64 bits.

    >>> is_count("128"), is_count("-1"), is_count("1e3")
    (True, False, False)
    """
    return word.isascii() and word.isdigit() and len(word) <= MAX_NUMBER_DIGITS


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1)
        raise ValueError(f"the key {shown(twice)} twice")
    return found
