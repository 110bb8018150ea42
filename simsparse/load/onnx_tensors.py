"""Tensors that stay on disk: found and checked when a model is opened, read one at a time when asked for.

Nothing is ever allocated from a declared shape: it is first held against the bytes that are really there.
External data must lie in the model's own folder, as the ONNX standard asks; a path is a request by the file's
author, and the author may not be a friend.

Source: onnx/docs/ExternalData.md; onnx/onnx.proto, message TensorProto.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.load.folder import file_beside
from simsparse.load.onnx_text import clean, mistake
from simsparse.load.onnx_wire import Span

Proto = Any  # onnx has no complete type hints: a protobuf message
Array = NDArray[Any]

_SUB_BYTE_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2, 27: 6, 28: 6}  # (U)INT4, FLOAT4, (U)INT2, FLOAT6
_STRING, _EXTERNAL = 8, 1
_MOST_PER_FIELD = 4  # 2-bit elements, packed in a byte
_DAMAGED = "the file is damaged: export it again"
_DATA_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor of the file: bytes at ``(path, offset, length)``, little-endian, or a small message at hand.

    With ``is_message`` the bytes are a serialised TensorProto whose values are typed fields.
    """

    name: str
    shape: tuple[int, ...]
    data_type: int
    path: str
    offset: int = 0
    length: int = 0
    is_message: bool = False
    message: bytes = b""

    def read(self) -> Array:
        """The values; memory is the tensor's own size, twice that for typed fields.

        Raises
        ------
        FileError
            If the file has changed since it was opened, or the values do not fill the shape.
        """
        import onnx

        data = bytearray(self.message) or self._bytes()
        if self.is_message:
            return _values(self, bytes(data))
        if self.data_type in _SUB_BYTE_BITS or sys.byteorder == "big":
            proto = onnx.TensorProto(dims=self.shape, data_type=self.data_type, raw_data=bytes(data))
            return _values(self, proto.SerializeToString())
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.data_type))
        return np.frombuffer(data, dtype=dtype).reshape(self.shape)

    def _bytes(self) -> bytearray:
        """The bytes in the file, which a NumPy array may then own and change."""
        try:
            with Path(self.path).open("rb") as file:
                there = max(0, os.fstat(file.fileno()).st_size - self.offset)
                data = bytearray(min(self.length, there))
                file.seek(self.offset)
                got = file.readinto(data)
        except OSError as error:
            reason = error.strerror or "an error"
            raise _mistake(self.path, self.name, "a file that can be read", reason, "put it back") from None
        if got != self.length:
            expected, way_out = f"{self.length:,} bytes", "the file has changed: load the model again"
            raise _mistake(self.path, self.name, expected, f"{got:,}", way_out)
        return data


def find_tensor(proto: Proto, span: Span | None, path: Path, name: str) -> StoredTensor:
    """Where the values of ``proto`` lie, checked against the bytes of the file.

    ``span`` is set for a tensor whose values were left out of the skeleton.

    Raises
    ------
    FileError
        If the shape is negative or does not fit the bytes, or external data is missing, short or outside
        the model's folder.
    """
    shape = _checked_shape(proto, path, name)
    where: dict[str, Any] = {"name": name, "shape": shape, "data_type": proto.data_type}
    needed = _bytes_needed(proto, shape, path, name)
    if proto.data_location == _EXTERNAL:
        target, offset, length = _external(proto, path, name)
        _expect_length(path, name, shape, needed, length)
        return StoredTensor(**where, path=str(target), offset=offset, length=length)
    if span is not None and span.raw_length >= 0:
        _expect_length(path, name, shape, needed, span.raw_length)
        return StoredTensor(**where, path=str(path), offset=span.raw_offset, length=span.raw_length)
    if span is None and proto.HasField("raw_data"):
        _expect_length(path, name, shape, needed, len(proto.raw_data))
        return StoredTensor(**where, path=str(path), length=needed, message=proto.raw_data)
    held, elements = _held(proto) if span is None else span.length, math.prod(shape)
    if elements > _MOST_PER_FIELD * held and proto.data_type != _STRING:
        expected = f"values for {elements:,} elements"
        raise _mistake(str(path), name, expected, f"{held:,}", "export the model with its weights")
    if span is not None:
        return StoredTensor(**where, path=str(path), offset=span.offset, length=span.length, is_message=True)
    return StoredTensor(**where, path=str(path), is_message=True, message=proto.SerializeToString())


def holds_values(proto: Proto) -> bool:
    """Whether the message has values of its own, or says where they are."""
    return proto.HasField("raw_data") or proto.data_location == _EXTERNAL or _held(proto) > 0


def _held(proto: Proto) -> int:
    return max(len(getattr(proto, field)) for field in _DATA_FIELDS)


def held_tensor(name: str, values: Array, path: Path) -> StoredTensor:
    """A small tensor that is no part of the file, as one that is."""
    from onnx import numpy_helper

    proto = numpy_helper.from_array(np.asarray(values), name)
    return StoredTensor(
        name=name,
        shape=tuple(values.shape),
        data_type=proto.data_type,
        path=str(path),
        is_message=True,
        message=proto.SerializeToString(),
    )


def _checked_shape(proto: Proto, path: Path, name: str) -> tuple[int, ...]:
    shape = tuple(proto.dims)
    if any(size < 0 for size in shape) or len(shape) > 32:
        got = "x".join(map(str, shape[:33]))
        raise _mistake(str(path), name, "at most 32 sizes >= 0", got, "export the model again")
    return shape


def _bytes_needed(proto: Proto, shape: tuple[int, ...], path: Path, name: str) -> int:
    from onnx import helper

    if proto.data_type in _SUB_BYTE_BITS:
        return -(-math.prod(shape) * _SUB_BYTE_BITS[proto.data_type] // 8)
    try:
        itemsize = np.dtype(helper.tensor_dtype_to_np_dtype(proto.data_type)).itemsize
    except (KeyError, TypeError):
        itemsize = 0
    if not itemsize and proto.data_type != _STRING:
        raise _mistake(
            str(path),
            name,
            "a known element type",
            f"number {proto.data_type}",
            "export with float32 or float16 weights",
        )
    return math.prod(shape) * itemsize


def _expect_length(path: Path, name: str, shape: tuple[int, ...], needed: int, got: int) -> None:
    if got != needed:
        text = "x".join(map(str, shape)) or "scalar"
        raise _mistake(
            str(path),
            name,
            f"{needed:,} bytes for shape {text}",
            f"{got:,}",
            "the file is damaged: export it again",
        )


def _external(proto: Proto, path: Path, name: str) -> tuple[Path, int, int]:
    """Resolved path, offset and length of external data."""
    entries: Mapping[str, str] = {entry.key: entry.value for entry in proto.external_data}
    target = _inside_folder(entries.get("location", ""), path, name)
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries["length"]) if entries.get("length") else None
    except ValueError:
        raise _mistake(
            str(path), name, "whole numbers as offset and length of external data", "text", "export it again"
        ) from None
    size = target.stat().st_size
    length = size - offset if length is None else length
    if offset < 0 or length < 0 or offset + length > size:
        expected = f"{max(offset, 0) + max(length, 0):,} bytes in {clean(target.name)}"
        raise _mistake(
            str(path),
            name,
            expected,
            f"{size:,}",
            "the data file is cut short or not this model's: fetch it again",
        )
    return target, offset, length


def _inside_folder(location: str, path: Path, name: str) -> Path:
    """The data file, if it is a regular file in the folder of the model (or of what the model links to)."""
    return file_beside(
        location,
        path,
        f"tensor {clean(name)}",
        what="external data",
        owner="model",
        way_out="put the data file beside the model and save it with a plain name",
    )


def _values(stored: StoredTensor, data: bytes) -> Array:
    """Values of a serialised TensorProto; typed fields are counted before anything is made from the shape."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        proto = onnx.TensorProto.FromString(data)
        return np.asarray(numpy_helper.to_array(proto)).reshape(stored.shape)
    except (DecodeError, ValueError, TypeError, KeyError, OverflowError) as error:
        elements = math.prod(stored.shape)
        expected, got = f"{elements:,} values of type {stored.data_type}", str(error).splitlines()[0][:120]
        raise _mistake(stored.path, stored.name, expected, got, _DAMAGED) from None


def _mistake(path: str, name: str, expected: str, got: str, way_out: str) -> FileError:
    return mistake(path, f"tensor {clean(name)}", expected, got, way_out)
