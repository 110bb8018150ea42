"""Files that a file names: a path in it is a request by its author, and the author may not be a friend."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from simsparse.errors import FileError
from simsparse.load.onnx_text import clean, mistake


def file_beside(location: str, path: Path, where: str, *, what: str, owner: str, way_out: str) -> Path:
    """The regular file ``location`` in the folder of the file at ``path``, or of what that links to.

    Parameters
    ----------
    location
        As written in the file: relative, without ``..``.
    where
        Place in the file, for the message.
    what, owner
        What is named, such as "external data", and what names it, such as "model".
    way_out
        What to do about a name that cannot be used.

    Raises
    ------
    FileError
        If the name leaves the folder, there is no such file, or it is no regular file.
    """
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    quoted = f'"{clean(location)}"'

    def wrong(expected: str, got: str, out: str) -> FileError:
        return mistake(clean(str(path)), where, expected, got, out)

    outside = bool(windows.drive or windows.root or posix.is_absolute() or ".." in windows.parts)
    if not location or "\0" in location or outside:
        raise wrong(f"{what} inside the {owner}'s folder", quoted, way_out)
    try:
        target = (path.parent / location).resolve(strict=True)
        regular = target.is_file()
    except (OSError, ValueError, RuntimeError):
        raise wrong(f"{what} file {quoted}", "none", f"put it beside the {owner}") from None
    if not any(target.is_relative_to(folder) for folder in (path.parent.resolve(), path.resolve().parent)):
        got = f"{quoted}, a link out of it"
        raise wrong(f"{what} inside the {owner}'s folder", got, "copy the file itself into the folder")
    if not regular:
        raise wrong(f"a regular file as {what}", quoted, f"put the data file beside the {owner}")
    return target
