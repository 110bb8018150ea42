"""Names of what ships with simsparse, and loading by name, file or inline text."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from simsparse.errors import FileError, UnknownNameError, UsageError
from simsparse.load.quoting import printable

if TYPE_CHECKING:
    from simsparse.hardware import HardwareModel
    from simsparse.ir import Workload

FOLDERS = {"hardware": "hwmodels", "workload": "workloads"}


def data_folder(kind: str) -> Traversable:
    """The folder of bundled files: inside the installed package, or beside it in a checkout.

    Raises
    ------
    FileError
        If neither exists, as in a damaged installation.
    """
    package = files("simsparse")
    for folder in (package / kind, package / ".." / kind):
        if folder.is_dir():
            return folder.resolve() if isinstance(folder, Path) else folder
    raise FileError([f"{kind}: expected the bundled files, got no such folder (install simsparse again)"])


def names(kind: str) -> list[str]:
    """Bundled names of a kind, ``"hardware"`` or ``"workload"``, sorted."""
    return yaml_names(data_folder(FOLDERS[kind]))


def yaml_names(folder: Traversable) -> list[str]:
    """Names of the YAML files in a folder, without their ending, sorted."""
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def bundled_file(kind: str, name: str) -> Traversable | None:
    """The file of a bundled name, or None."""
    # compared, not joined: a name may not walk out of the folder
    return data_folder(FOLDERS[kind]) / f"{name}.yaml" if name in names(kind) else None


def load_hardware(name_or_path: str | Path) -> HardwareModel:
    """A machine by bundled name or from a ``.yaml`` file.

    Raises
    ------
    UnknownNameError
        If no machine has that name; the message offers the nearest ones.
    FileError
        If the file has mistakes.
    """
    from simsparse.load.hardware_yaml import load_hardware_file

    text = str(name_or_path)
    if _is_file_name(text, (".yaml", ".yml")):
        return load_hardware_file(text)
    path = bundled_file("hardware", text)
    if path is None:
        hint = "simsparse list hardware, or a path that ends in .yaml"
        raise UnknownNameError("hardware", printable(text[:100]), names("hardware"), hint=hint)
    return load_hardware_file(path)


def load_model(text: str | Path, *, batch: int | None = None, seq: int | None = None) -> Workload:
    """A model by bundled name, ``.yaml`` or ``.onnx`` path, or inline text.

    Inline are ``gemm:M,K,N`` and ``conv:C,K,H,W,R,S,stride``.

    Parameters
    ----------
    text
        What to load.
    batch, seq
        Overrides of the model's own batch size and sequence length.

    Raises
    ------
    UnknownNameError
        If no model has that name.
    FileError
        If the file has mistakes.
    UsageError
        If inline text cannot be read, or an override does not apply.
    """
    for what, value in (("batch", batch), ("seq", seq)):
        if value is not None and value < 1:
            raise UsageError(
                f"{what}: expected a whole number >= 1, got {value} (leave it out for the model's own)"
            )
    text = str(text)
    from simsparse.load.inline import is_inline, parse_inline

    if is_inline(text):
        if seq is not None:
            raise UsageError(f"seq: expected a model with a sequence, got {text} (leave --seq out)")
        return parse_inline(text, batch=batch)
    if _is_file_name(text, (".onnx",)):
        from simsparse.load.onnx_import import load_onnx

        return load_onnx(text, batch=batch, seq=seq)
    from simsparse.load.workload_yaml import load_workload

    return load_workload(workload_file(text), batch=batch, seq=seq)


def workload_file(text: str) -> Path:
    """The workload YAML that a bundled name or a path stands for.

    Raises
    ------
    UnknownNameError
        If no model has that name.
    """
    if _is_file_name(text, (".yaml", ".yml")):
        return Path(text)
    file = bundled_file("workload", text)
    if file is None:
        hint = "simsparse list workloads, a .yaml or .onnx path, or gemm:M,K,N"
        raise UnknownNameError("model", printable(text[:100]), names("workload"), hint=hint)
    return cast("Path", file)


def _is_file_name(text: str, endings: tuple[str, ...]) -> bool:
    return text.lower().endswith(endings)
