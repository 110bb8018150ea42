"""Which loader a file or folder of another tool goes to, and which options that loader takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsparse.errors import FileError, UsageError
from simsparse.ir import Workload
from simsparse.load.document import shown_path

if TYPE_CHECKING:
    from simsparse.load.files.tensor_source import TensorSource

Load = Callable[..., Workload]
TORCH_ENDINGS = (".pt", ".pth", ".bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKind:
    """A kind of model file: its name, how it is loaded, and the options that mean something to it."""

    name: str
    load: Load
    options: tuple[str, ...] = ()


def read_tensors(path: Path) -> Mapping[str, TensorSource]:
    """The tensors of a checkpoint by name: ``.safetensors``, an index of its shards, or PyTorch's.

    Raises
    ------
    FileError
        If it has another ending, or is damaged.
    """
    lower = path.name.lower()
    if lower.endswith(".safetensors"):
        from simsparse.load.files.safetensors_file import read_safetensors

        return read_safetensors(path)
    if lower.endswith(".safetensors.index.json"):
        from simsparse.load.files.checkpoint_files import read_shards

        return read_shards(path)
    if lower.endswith(TORCH_ENDINGS):
        from simsparse.load.files.torch_file import read_torch

        return read_torch(path)
    expected = "a checkpoint (.safetensors, its .index.json, .pt, .pth or .bin)"
    raise FileError([f"{shown_path(path)}: expected {expected}, got another ending (convert it)"])


def _checkpoint(path: Path, *, kind: str, **options: Any) -> Workload:
    from simsparse.load.files.checkpoint_model import checkpoint_workload

    return checkpoint_workload(read_tensors(path), path, kind=kind, **options)


def _huggingface(path: Path, **options: Any) -> Workload:
    from simsparse.load.files.hf_model import load_huggingface

    return load_huggingface(path, **options)


def _smtx(path: Path, **options: Any) -> Workload:
    from simsparse.load.files.smtx_file import load_smtx

    return load_smtx(path, **options)


def _mtx(path: Path, **options: Any) -> Workload:
    from simsparse.load.files.mtx_file import load_mtx

    return load_mtx(path, **options)


def _scalesim(path: Path) -> Workload:
    from simsparse.load.files.scalesim_csv import load_scalesim

    return load_scalesim(path)


def _timeloop(path: Path) -> Workload:
    from simsparse.load.files.timeloop_yaml import load_timeloop

    return load_timeloop(path)


_TOKENS = ("batch", "seq")
_PYTORCH = FileKind(name="PyTorch checkpoint", load=partial(_checkpoint, kind="PyTorch"), options=_TOKENS)
_HUGGINGFACE = FileKind(name="Hugging Face model", load=_huggingface, options=(*_TOKENS, "phase"))
_INDEX = FileKind(
    name="safetensors index", load=partial(_checkpoint, kind="index of safetensors"), options=_TOKENS
)
_SAFETENSORS = FileKind(
    name="safetensors checkpoint", load=partial(_checkpoint, kind="safetensors"), options=_TOKENS
)
TIMELOOP = FileKind(name="Timeloop problem", load=_timeloop)
KINDS: Mapping[str, FileKind] = {
    ".safetensors": _SAFETENSORS,
    ".safetensors.index.json": _INDEX,
    ".json": _HUGGINGFACE,
    **dict.fromkeys(TORCH_ENDINGS, _PYTORCH),
    ".smtx": FileKind(name="DLMC matrix", load=_smtx, options=("columns",)),
    ".mtx": FileKind(name="MatrixMarket matrix", load=_mtx, options=("columns",)),
    ".csv": FileKind(name="SCALE-Sim topology", load=_scalesim),
}
"""Kinds by ending; a longer ending goes before a shorter one that it contains."""
ENDINGS = ".yaml, .onnx, .safetensors, .json (Hugging Face), .pt, .smtx, .mtx, .csv (SCALE-Sim)"


def file_kind(text: str) -> FileKind | None:
    """The kind of the file or folder at a path, None for what is no model of another tool.

    Raises
    ------
    FileError
        If it is a folder without a model.
    """
    lower = text.lower()
    for ending, kind in KINDS.items():
        if lower.endswith(ending):
            return kind
    if lower.endswith((".yaml", ".yml")):
        from simsparse.load.document import read_document
        from simsparse.load.files.timeloop_yaml import is_timeloop

        return TIMELOOP if is_timeloop(read_document(text)) else None
    return _folder_kind(Path(text)) if text and "\0" not in text and Path(text).is_dir() else None


def _inside(name: str, load: Load, folder: Path, **options: Any) -> Workload:
    return load(folder / name, **options)


def _folder_kind(folder: Path) -> FileKind:
    from simsparse.load.files.checkpoint_files import INDEX, WHOLE

    if (folder / "config.json").exists():
        return _HUGGINGFACE
    for name, kind in ((INDEX, _INDEX), (WHOLE, _SAFETENSORS)):
        if (folder / name).exists():
            return replace(kind, load=partial(_inside, name, kind.load))
    expected = f"a folder with config.json, {INDEX} or {WHOLE}"
    raise FileError([f"{shown_path(folder)}: expected {expected}, got none of them (give the file itself)"])


def load_file(kind: FileKind, text: str, options: Mapping[str, Any]) -> Workload:
    """The workload of a file of that kind.

    Raises
    ------
    UsageError
        If an option is given that this kind does not take.
    FileError
        If the file has mistakes.
    UnsupportedError
        If nothing in it can be simulated.
    """
    given = {name: value for name, value in options.items() if value is not None}
    refuse_options(
        {name: value for name, value in given.items() if name not in kind.options}, f"a {kind.name}"
    )
    return kind.load(Path(text), **given)


def refuse_options(given: Mapping[str, Any], what: str) -> None:
    """Raises for the first of the options that is given, since ``what`` has no use for it.

    Raises
    ------
    UsageError
        Naming the option.
    """
    for name, value in given.items():
        if value is not None:
            expected = _MEANT_FOR[name]
            raise UsageError(f"{name}: expected {expected}, got {what} (leave --{name} out)")


_MEANT_FOR = {
    "batch": "a model with a batch",
    "seq": "a model with a sequence",
    "columns": "a single matrix (.smtx or .mtx)",
    "phase": "a decoder in Hugging Face layout",
}
