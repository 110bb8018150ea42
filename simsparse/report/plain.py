"""Names from files as printable text: nothing in them reaches a terminal as markup, colour or a new line."""

from __future__ import annotations


def plain(text: str) -> str:
    r"""``text`` on one line, control and other unprintable characters written out.

    >>> print(plain("conv\x1b[31m\n1"))
    conv\x1b[31m\n1
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
