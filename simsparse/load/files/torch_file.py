"""PyTorch checkpoints, ``.pt``, ``.pth`` and ``.bin``: read by torch itself, which then loads tensors only.

These files are pickles, and a pickle may run anything. ``weights_only=True`` makes torch refuse all but
tensors and plain containers; without torch such a file is not opened at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from simsparse.errors import FileError, UsageError
from simsparse.load.files.tensor_source import Array, Mask, Shape, TensorSource, nonzero_mask
from simsparse.load.onnx_text import clean

_INSIDE = ("state_dict", "model_state_dict", "model", "module")
_MAX_NESTING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchTensor:
    """A tensor that torch has mapped into memory."""

    shape: Shape
    tensor: Any

    def values(self) -> Array:
        """The values; bfloat16 and 8-bit floats in the types of ml_dtypes."""
        import ml_dtypes
        import torch

        same_bits = {
            torch.bfloat16: (torch.int16, ml_dtypes.bfloat16),
            torch.float8_e4m3fn: (torch.int8, ml_dtypes.float8_e4m3fn),
            torch.float8_e5m2: (torch.int8, ml_dtypes.float8_e5m2),
        }
        tensor = self.tensor.detach().contiguous()
        if tensor.dtype in same_bits:
            integer, dtype = same_bits[tensor.dtype]
            return np.asarray(tensor.view(integer).numpy()).view(dtype)
        return np.asarray(tensor.numpy())

    def nonzero(self) -> Mask:
        """True where the values are not zero."""
        return nonzero_mask(self.values())


def read_torch(path: str | Path) -> dict[str, TensorSource]:
    """The dense tensors of a checkpoint by name; nested dictionaries are joined with dots.

    Raises
    ------
    UsageError
        If torch is not installed.
    FileError
        If the file cannot be read, or holds anything but tensors and plain containers.
    """
    path = Path(path)
    where = clean(str(path))
    if find_spec("torch") is None:
        out = 'pip install "simsparse[torch]", or save the model as safetensors'
        raise UsageError(f"{where}: expected PyTorch, which reads such files, got no torch here ({out})")
    if not path.is_file():
        raise FileError([f"{where}: expected a PyTorch checkpoint, got no regular file (check the path)"])
    loaded = _load(path, where)
    found: dict[str, TensorSource] = {}
    _collect(_state(loaded), "", found, 0)
    if not found:
        raise FileError([f"{where}: expected tensors by name, got none (save model.state_dict())"])
    return found


def _load(path: Path, where: str) -> Any:
    import torch

    options: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
    try:
        try:
            return torch.load(path, mmap=True, **options)
        except RuntimeError:  # files from before torch 1.6 cannot be mapped
            return torch.load(path, mmap=False, **options)
    except Exception as error:  # torch raises many kinds, and all of them mean the same here
        reason = clean(
            str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        )
        raise FileError(
            [f"{where}: expected a file of tensors only, got: {reason} (save model.state_dict())"]
        ) from None


def _state(loaded: Any) -> Any:
    """The part of a training checkpoint that holds the model."""
    if isinstance(loaded, Mapping):
        for key in _INSIDE:
            if isinstance(loaded.get(key), Mapping):
                return loaded[key]
    return loaded


def _collect(value: Any, name: str, found: dict[str, TensorSource], depth: int) -> None:
    import torch

    if isinstance(value, Mapping) and depth < _MAX_NESTING:
        for key, inner in value.items():
            _collect(inner, f"{name}.{key}" if name else str(key), found, depth + 1)
    elif isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_quantized:
        found[name or "tensor"] = TorchTensor(shape=tuple(value.shape), tensor=value)
