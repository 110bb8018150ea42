"""Cells of a page's tables: a value to sort and download by, and the text that is read."""

from __future__ import annotations

import re

Cell = dict[str, str]


def cell(value: object, text: str) -> Cell:
    """A cell that is sorted by ``value``; numbers keep all their digits."""
    return {"value": value if isinstance(value, str) else repr(value), "text": text}


def word(text: str) -> Cell:
    """A cell that is sorted by its text."""
    return {"value": text, "text": text}


def file_name(*words: str) -> str:
    """Words as the start of a file's name.

    >>> file_name("gemm:8,8,8", "host")
    'gemm-8-8-8-host'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words))
