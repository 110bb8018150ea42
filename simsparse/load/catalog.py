"""Names of what ships with simsparse, and loading by name, file or inline text."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from simsparse.errors import FileError, UnknownNameError, UsageError
from simsparse.load.quoting import printable

if TYPE_CHECKING:
    from simsparse.hardware import HardwareModel
    from simsparse.ir import Workload
    from simsparse.load.hardware_override import Overrides

CHECKPOINT = "@"
"""Parts a workload from the checkpoint that holds its weights."""
HOST = "host"
"""The name of the calibrated host."""
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


def host_file() -> Path:
    """The file of this host's machine, under the user's configuration; it need not exist."""
    from platformdirs import user_config_path

    return user_config_path("simsparse", appauthor=False) / f"{HOST}.yaml"


def _calibrated() -> Path:
    path = host_file()
    if not path.is_file():
        raise FileError(
            [f"{path}: expected the machine file of this host, got none (run simsparse calibrate)"]
        )
    return path


def load_hardware(name_or_path: str | Path, overrides: Overrides | None = None) -> HardwareModel:
    """A machine by bundled name or from a ``.yaml`` file, with some of its values changed by dotted path.

    ``host`` is this host as `simsparse calibrate` measured it.

    Raises
    ------
    UnknownNameError
        If no machine has that name; the message offers the nearest ones.
    FileError
        If the file has mistakes, or the host was never calibrated.
    """
    from simsparse.load.hardware_yaml import load_hardware_file

    text = str(name_or_path)
    if _is_file_name(text, (".yaml", ".yml")):
        return load_hardware_file(text, overrides)
    if text == HOST:
        return load_hardware_file(_calibrated(), overrides)
    path = bundled_file("hardware", text)
    if path is None:
        hint = "simsparse list hardware, host, or a path that ends in .yaml"
        raise UnknownNameError("hardware", printable(text[:100]), names("hardware"), hint=hint)
    if overrides or not isinstance(path, Path):
        return load_hardware_file(path, overrides)
    return deepcopy(_bundled(path, path.stat().st_mtime_ns))  # the caller's own


@lru_cache(maxsize=256)
def _bundled(path: Path, mtime_ns: int) -> HardwareModel:  # noqa: ARG001
    """A bundled machine, read once as long as its file stays as it is."""
    from simsparse.load.hardware_yaml import load_hardware_file

    return load_hardware_file(path)


def load_model(
    text: str | Path,
    *,
    batch: int | None = None,
    seq: int | None = None,
    columns: int | None = None,
    phase: str | None = None,
) -> Workload:
    """A model by bundled name, from a file or folder, or from inline text.

    Inline are ``gemm:M,K,N`` and ``conv:C,K,H,W,R,S,stride``. Files are known by their endings: ``.yaml``
    (a workload, or a Timeloop problem), ``.onnx``, ``.safetensors`` and its index, a folder in Hugging Face
    layout or its ``config.json``, ``.pt``, single matrices ``.smtx`` and ``.mtx``, a SCALE-Sim ``.csv``.
    ``resnet50@pruned.safetensors`` is a workload with the weights of a checkpoint.

    Parameters
    ----------
    text
        What to load.
    batch, seq
        Overrides of the model's own batch size and sequence length.
    columns
        Width of the operand that a single matrix meets.
    phase
        ``prefill`` or ``decode``, for decoders in Hugging Face layout.

    Raises
    ------
    UnknownNameError
        If no model has that name.
    FileError
        If the file has mistakes.
    UsageError
        If inline text cannot be read, or an override does not apply.
    UnsupportedError
        If nothing in the file can be simulated.
    """
    for what, value in (("batch", batch), ("seq", seq), ("columns", columns)):
        if value is not None and value < 1:
            raise UsageError(
                f"{what}: expected a whole number >= 1, got {value} (leave it out for the model's own)"
            )
    text = str(text)
    model, checkpoint = split_checkpoint(text)
    if checkpoint is not None:
        from simsparse.load.files.checkpoint_weights import with_checkpoint

        workload = load_model(model, batch=batch, seq=seq, columns=columns, phase=phase)
        return with_checkpoint(workload, checkpoint)
    from simsparse.load.inline import is_inline, parse_inline

    if is_inline(text):
        _refuse(text, columns=columns, phase=phase)
        if seq is not None:
            raise UsageError(f"seq: expected a model with a sequence, got {text} (leave --seq out)")
        return parse_inline(text, batch=batch)
    if _is_file_name(text, (".onnx",)):
        from simsparse.load.onnx_import import load_onnx

        _refuse("an ONNX model", columns=columns, phase=phase)
        return load_onnx(text, batch=batch, seq=seq)
    if text not in names("workload"):
        from simsparse.load.files.open_file import file_kind, load_file

        kind = file_kind(text)
        if kind is not None:
            options = {"batch": batch, "seq": seq, "columns": columns, "phase": phase}
            return load_file(kind, text, options)
    from simsparse.load.workload_yaml import load_workload

    file = workload_file(text)
    _refuse("a workload", columns=columns, phase=phase)
    return load_workload(file, batch=batch, seq=seq)


def split_checkpoint(text: str) -> tuple[str, str | None]:
    """The model and the checkpoint in ``MODEL@FILE``, MODEL a bundled name or a workload's YAML.

    >>> split_checkpoint("resnet50@runs/a@b.pt")
    ('resnet50', 'runs/a@b.pt')
    >>> split_checkpoint("me@home/model.pt")
    ('me@home/model.pt', None)
    """
    model, _, file = text.partition(CHECKPOINT)
    is_workload = model in names("workload") or _is_file_name(model, (".yaml", ".yml"))
    return (model, file) if file and is_workload else (text, None)


def _refuse(what: str, **options: object) -> None:
    """Raises for an option that was given and means nothing to ``what``."""
    if any(value is not None for value in options.values()):
        from simsparse.load.files.open_file import refuse_options

        refuse_options(options, what)


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
        hint = "simsparse list workloads, a model's file or folder, or gemm:M,K,N"
        raise UnknownNameError("model", printable(text[:100]), names("workload"), hint=hint)
    return cast("Path", file)


def _is_file_name(text: str, endings: tuple[str, ...]) -> bool:
    return text.lower().endswith(endings)
