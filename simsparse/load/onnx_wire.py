"""The skeleton of an ONNX file: everything but its large tensors, which stay where they are on disk.

An ONNX file is a protobuf message, a tree of length-prefixed fields. Walking the prefixes alone finds every
tensor without reading it, so a model of any size (protobuf itself ends at 2 GB) costs as much memory as its
operators. The walk copies what is small, leaves out the bytes of large tensors and remembers where they lie.

Source: https://protobuf.dev/programming-guides/encoding/ and onnx/onnx.proto (field numbers), IR version 11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from simsparse.errors import FileError

LARGE_BYTES = 4096  # tensors below this stay in the skeleton: shape inference reads their values
MAX_NODES = 100_000
MAX_SKELETON_BYTES = 32 * 2**20
MAX_FIELDS = 2_000_000
MAX_DEPTH = 24

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RAW_DATA = 9
_NODE = 1
_INITIALIZER, _SPARSE_INITIALIZER = 5, 15


class Message(Enum):
    """The messages of onnx.proto on the way to a tensor."""

    MODEL = "model"
    GRAPH = "graph"
    FUNCTION = "function"
    NODE = "operator"
    ATTRIBUTE = "attribute"
    SPARSE = "sparse tensor"
    TENSOR = "tensor"


_CHILDREN: Mapping[Message, Mapping[int, Message]] = {
    Message.MODEL: {7: Message.GRAPH, 25: Message.FUNCTION},
    Message.GRAPH: {_NODE: Message.NODE, _INITIALIZER: Message.TENSOR, _SPARSE_INITIALIZER: Message.SPARSE},
    Message.FUNCTION: {7: Message.NODE},
    Message.NODE: {5: Message.ATTRIBUTE},
    Message.ATTRIBUTE: {5: Message.TENSOR, 6: Message.GRAPH, 10: Message.TENSOR, 11: Message.GRAPH},
    Message.SPARSE: {1: Message.TENSOR, 2: Message.TENSOR},
    Message.TENSOR: {},
}
# float_data, int32_data, string_data, int64_data, raw_data, double_data, uint64_data; and training_info
_LEFT_OUT: Mapping[Message, frozenset[int]] = {
    Message.MODEL: frozenset({20}),
    Message.TENSOR: frozenset({4, 5, 6, 7, 9, 10, 11}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where a large tensor lies: its whole message, and in it the bytes of ``raw_data`` (length -1: none)."""

    offset: int
    length: int
    raw_offset: int = 0
    raw_length: int = -1


@dataclass(slots=True)
class Skeleton:
    """Result of the walk; spans are keyed by the position of their owner in the main graph."""

    message: bytes = b""
    initializers: dict[int, Span] = field(default_factory=dict)
    sparse: dict[int, dict[int, Span]] = field(default_factory=dict)  # part 1: values, 2: indices
    constants: dict[int, Span] = field(default_factory=dict)  # by node


def read_skeleton(buffer: memoryview, path: str) -> Skeleton:
    """The skeleton of the ONNX file whose bytes are ``buffer``.

    Raises
    ------
    FileError
        If the bytes are no protobuf message, end early, or hold more operators than ``MAX_NODES``.
    """
    walk = _Walk(buffer, path)
    walk.skeleton.message = walk.copy(Message.MODEL, 0, len(buffer), ())
    return walk.skeleton


class _Walk:
    """One pass over a buffer; ``trail`` is the path of (field, position) pairs from the model down."""

    def __init__(self, buffer: memoryview, path: str) -> None:
        self.buffer, self.path = buffer, path
        self.skeleton = Skeleton()
        self.nodes = self.fields = self.copied = 0

    def copy(self, kind: Message, start: int, stop: int, trail: tuple[tuple[int, int], ...]) -> bytes:
        """The message at ``[start, stop)`` without what is left out."""
        if len(trail) > MAX_DEPTH:
            raise self.error(
                start, f"graphs nested at most {MAX_DEPTH} deep", "more", "flatten the control flow"
            )
        children, left_out = _CHILDREN[kind], _LEFT_OUT.get(kind, frozenset())
        parts: list[bytes] = []
        seen: dict[int, int] = {}
        copied_from = start
        for number, field_start, payload, end in self.fields_of(kind, start, stop):
            position = seen[number] = seen.get(number, -1) + 1
            if kind is Message.GRAPH and number == _NODE:
                self.count_node(field_start)
            child = children.get(number)
            if number in left_out or (child and end - payload > LARGE_BYTES):
                parts.append(self.take(copied_from, field_start))
                copied_from = end
                if child:
                    inner = self.copy(child, payload, end, (*trail, (number, position)))
                    if child is Message.TENSOR:
                        self.remember(payload, end, (*trail, (number, position)))
                    parts += [_varint(number << 3 | _BYTES), _varint(len(inner)), inner]
        parts.append(self.take(copied_from, stop))
        return b"".join(parts)

    def fields_of(self, kind: Message, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
        """(number, start, payload start, end) of each field."""
        at = start
        while at < stop:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise self.error(
                    at, f"at most {MAX_FIELDS:,} protobuf fields", "more", "save it again with onnx.save"
                )
            tag, payload = self.varint(at, stop, kind)
            wire, end = tag & 7, -1
            if wire == _VARINT:
                end = self.varint(payload, stop, kind)[1]
            elif wire == _BYTES:
                length, payload = self.varint(payload, stop, kind)
                end = payload + length
            elif wire in (_FIXED64, _FIXED32):
                end = payload + (8 if wire == _FIXED64 else 4)
            if end < 0 or tag >> 3 == 0:
                raise self.error(
                    at, "an ONNX model", "bytes that are no protobuf field", "export the model again"
                )
            if end > stop:
                raise self.error(
                    at,
                    f"{end - payload:,} bytes of a field of the {kind.value}",
                    f"{stop - payload:,}",
                    _TRUNCATED,
                )
            yield tag >> 3, at, payload, end
            at = end

    def varint(self, at: int, stop: int, kind: Message) -> tuple[int, int]:
        """The base-128 number at ``at`` and the place after it."""
        value = shift = 0
        for here in range(at, min(stop, at + 10)):
            byte = self.buffer[here]
            value |= (byte & 127) << shift
            if byte < 128:
                return value, here + 1
            shift += 7
        got = "the end" if stop - at < 10 else "bytes that are none"
        raise self.error(at, f"a number in the {kind.value}", got, _TRUNCATED)

    def take(self, start: int, stop: int) -> bytes:
        """The bytes of ``[start, stop)``, counted against the limit."""
        self.copied += stop - start
        if self.copied > MAX_SKELETON_BYTES:
            limit = f"at most {MAX_SKELETON_BYTES:,} bytes beside the tensors"
            raise self.error(start, limit, "more", "simplify the graph, for example with onnxslim")
        return bytes(self.buffer[start:stop])

    def count_node(self, at: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.error(
                at,
                f"at most {MAX_NODES:,} operators",
                "more",
                "simplify the graph, for example with onnxslim",
            )

    def remember(self, start: int, end: int, trail: tuple[tuple[int, int], ...]) -> None:
        """Note where a tensor of the main graph lies; those of inner graphs are never loaded."""
        raw = [
            (payload, stop)
            for number, _, payload, stop in self.fields_of(Message.TENSOR, start, end)
            if number == _RAW_DATA
        ]
        raw_offset, raw_end = raw[-1] if raw else (0, -1)
        span = Span(offset=start, length=end - start, raw_offset=raw_offset, raw_length=raw_end - raw_offset)
        match trail:
            case ((7, _), (5, index)):
                self.skeleton.initializers[index] = span
            case ((7, _), (15, index), (part, _)):
                self.skeleton.sparse.setdefault(index, {})[part] = span
            case ((7, _), (1, index), (5, _), (5, _)):
                self.skeleton.constants[index] = span

    def error(self, at: int, expected: str, got: str, way_out: str) -> FileError:
        return FileError([f"{self.path}: byte {at:,}: expected {expected}, got {got} ({way_out})"])


_TRUNCATED = "the file is cut short or damaged: download or export it again"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
