"""What every registered format promises besides the laws: a name, a text, a value, and errors on one line."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest
from format_cases import FORMATS

import simsparse.formats
from simsparse.errors import FormatError, ShapeError, UnknownNameError
from simsparse.formats import (
    Encoded,
    Field,
    SparseFormat,
    encode,
    format_names,
    make_format,
    multiply,
    registry,
)
from simsparse.pattern import parse_pattern

NAMES = ["dense", "coo", "csr", "csc", "bsr", "ell", "sell", "bitmask", "hbitmask"]
NAMES += ["rle4", "rle5", "delta", "nm", "vnm", "dia"]
every_format = pytest.mark.parametrize("format_", FORMATS, ids=str)
ONES = np.ones((4, 8), np.float32)


def test_names_are_unique_and_complete() -> None:
    assert list(format_names())[: len(NAMES)] == NAMES
    assert len(set(format_names())) == len(format_names())


@pytest.mark.parametrize("name", NAMES)
def test_a_name_makes_a_documented_frozen_format(name: str) -> None:
    format_ = make_format(name)
    assert format_.name == name
    own_text = type(format_).__doc__ or ""
    assert len(own_text) > 40
    assert not own_text.startswith(type(format_).__name__)  # the text dataclasses generate
    assert dataclasses.is_dataclass(format_)
    assert not hasattr(format_, "__dict__")


@every_format
def test_a_format_is_a_value_whose_text_reads_back(format_: SparseFormat) -> None:
    again = make_format(str(format_))
    assert again == format_
    assert hash(again) == hash(format_)
    assert str(again) == str(format_)
    for field in dataclasses.fields(format_):  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(format_, field.name, 1)


@every_format
@pytest.mark.parametrize("shape", [(), (4,), (2, 2, 2), (0, 4), (4, 0)])
def test_only_matrices_are_stored(format_: SparseFormat, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected weights of shape \(m, k\)"):
        format_.encode(np.ones(shape, np.float32))
    with pytest.raises(ShapeError, match=r"expected mask of shape \(m, k\)"):
        format_.footprint(np.ones(shape, bool), value_bits=8)


@every_format
def test_a_mask_must_be_boolean_and_fit(format_: SparseFormat) -> None:
    with pytest.raises(ShapeError, match=r"got \(8, 4\)"):
        format_.encode(ONES, np.zeros((8, 4), bool))
    with pytest.raises(FormatError, match="dtype bool, got int64"):
        format_.encode(ONES, np.zeros((4, 8), np.int64))
    with pytest.raises(FormatError, match="value_bits >= 1"):
        format_.footprint(np.zeros((4, 8), bool), value_bits=0)


@every_format
def test_other_dtypes_are_refused(format_: SparseFormat) -> None:
    for dtype in (bool, complex, object, "U3"):
        with pytest.raises(FormatError, match="integer or float dtype"):
            format_.encode(np.zeros((2, 2), dtype))


@every_format
def test_any_memory_layout_stores_the_same(format_: SparseFormat) -> None:
    weights = np.zeros((6, 10), np.float32)
    weights[:, ::5] = np.arange(12, dtype=np.float32).reshape(6, 2)
    if format_ in (make_format("nm:0:4"), make_format("nm:1:1")):
        weights *= 0
    packed = format_.encode(weights).pack()
    for same in (np.asfortranarray(weights), weights.astype(">f4"), np.repeat(weights, 2, 0)[::2]):
        encoded = format_.encode(same)
        assert encoded.pack() == packed
        assert encoded.dtype.isnative


@every_format
def test_an_encoding_of_another_format_is_refused(format_: SparseFormat) -> None:
    other = make_format("csr" if format_.name != "csr" else "coo").encode(ONES)
    with pytest.raises(FormatError, match=f"expected an encoding in {format_}"):
        format_.decode(other)


def with_fields(encoded: Encoded, fields: dict[str, Field]) -> Encoded:
    return Encoded(format=encoded.format, shape=encoded.shape, dtype=encoded.dtype, fields=fields)


@every_format
def test_a_missing_field_is_an_error(format_: SparseFormat) -> None:
    encoded = format_.encode(np.zeros((6, 9), np.float32))
    for name in encoded.fields:
        fields = {other: field for other, field in encoded.fields.items() if other != name}
        with pytest.raises(FormatError, match="damaged"):
            with_fields(encoded, fields).decode()


@pytest.mark.parametrize(
    ("text", "name", "data"),
    [
        ("coo", "rows", [0, 9]),
        ("coo", "rows", [0, 1, 1]),
        ("csr", "pointers", [0, 2, 1]),
        ("csr", "pointers", [0, 1, 3]),
        ("csr", "columns", [0, 200]),
        ("coo", "columns", [1]),
        ("csr", "pointers", [0, 1, 1]),
        ("csc", "pointers", [0, 1, 1, 1]),
        ("csc", "pointers", [0, 1]),
        ("csc", "indices", [0, 77]),
        ("csc:run_bits=4", "indices", [0, 77]),
        ("bsr:1x1", "columns", [0, 99]),
        ("bsr:1x1", "pointers", [0, 0, 1]),
        ("ell", "columns", [0, 99]),
        ("ell", "columns", [0]),
        ("sell", "columns", [99] * 32),
        ("bitmask", "mask", [1] * 6),
        ("hbitmask", "blocks", [0]),
        ("rle4", "runs", [0, 99]),
        ("delta", "deltas", [99]),
        ("nm", "positions", [9] * 4),
        ("vnm", "places", [200] * 256),
        ("vnm", "columns", [99] * 4),
        ("dia", "offsets", [99]),
        ("dia", "offsets", []),
    ],
)
def test_damage_is_an_error_and_never_a_crash(text: str, name: str, data: list[int]) -> None:
    encoded = make_format(text).encode(np.eye(2, 3, dtype=np.int8))
    damaged = Field(data=np.array(data, np.uint8), bits=8, role="metadata")
    with pytest.raises(FormatError, match="damaged") as error:
        with_fields(encoded, {**encoded.fields, name: damaged}).decode()
    assert "\n" not in str(error.value)


def test_check_finds_elements_too_large_for_their_field() -> None:
    encoded = encode(ONES, "csr")
    fields = {**encoded.fields, "columns": Field(data=np.full(32, 9, np.uint8), bits=3, role="metadata")}
    with pytest.raises(FormatError, match="columns: expected at most 3 bits, got 9"):
        Encoded(format=encoded.format, shape=(4, 8), dtype=encoded.dtype, fields=fields).check()
    with pytest.raises(FormatError, match="0 <= padding <= 3"):
        Field(data=np.zeros(3, np.uint8), bits=3, role="metadata", padding=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("csr:index_bits=2", "csr:index_bits=2: column index: expected at least 3 bits to count to 7, got 2"),
        ("csr:pointer_bits=5", "row pointer: expected at least 6 bits to count to 32, got 5"),
        ("coo:index_bits=1", "row: expected at least 2 bits"),
        ("csc:index_bits=1", "row index: expected at least 2 bits"),
        ("bsr:4x1:pointer_bits=3", "row pointer: expected at least 4 bits"),
        ("ell:index_bits=2", "column index: expected at least 3"),
        ("sell:pointer_bits=2", "slice pointer: expected at least 9"),
        ("dia:index_bits=3", "diagonal: expected at least 4"),
        ("nm", "nm:2:4: expected at most 2 kept weights per group of 4, got 4 (prune with the pattern 2:4)"),
        ("vnm:2:2:4", "vnm:2:2:4: expected at most 2 kept weights per row and group, got 4"),
        ("vnm:2:4:8", "expected at most 4 kept weights per row and group, got 8"),
    ],
)
def test_what_a_format_cannot_hold(text: str, message: str) -> None:
    format_ = make_format(text)
    with pytest.raises(FormatError) as of_encode:
        format_.encode(ONES)
    with pytest.raises(FormatError) as of_footprint:
        format_.footprint(ONES != 0, value_bits=32)
    assert message in str(of_encode.value)
    assert str(of_encode.value) == str(of_footprint.value)


def test_rows_of_a_block_must_share_their_columns() -> None:
    mask = np.eye(5, 8, dtype=bool)
    with pytest.raises(FormatError, match="at most 4 used columns per block, got 5"):
        make_format("vnm:8:2:8").check(mask)
    make_format("vnm:4:2:8").check(mask)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("csr:bits=3", 'expected csr with index_bits=<integer>, pointer_bits=<integer>, got "bits=3"'),
        ("csr:index_bits=x", 'got "index_bits=x"'),
        ("dense:4", 'expected dense with no parameters, got "4"'),
        ("bsr:4", "expected bsr with {rows}x{columns}, rows=<integer>"),
        ("bsr:0x1", "bsr: expected rows >= 1, got 0"),
        ("nm:5:4", "nm: expected keep >= 0 and <= 4, got 5"),
        ("vnm:64:5:8", "vnm: expected keep >= 1 and <= 4, got 5"),
        ("vnm:64:2:3", "vnm: expected group >= 4, got 3"),
        ("csc:run_bits=17", "run_bits >= 0 and <= 16, got 17"),
        ("csc:run_bits=4:index_bits=4", "expected run_bits or index_bits, got 4 and 4"),
        ("sell:sigma=0", "sell: expected sigma >= 1, got 0"),
        ("csr:index_bits=65", "index_bits >= 1 and <= 64, got 65"),
        ("hbitmask:block=0", "hbitmask: expected block >= 1"),
    ],
)
def test_parameters_are_checked(text: str, message: str) -> None:
    with pytest.raises(FormatError) as error:
        make_format(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_offers_near_ones() -> None:
    with pytest.raises(
        UnknownNameError, match=r'format: expected a known name, got "cssr" \(did you mean csr'
    ):
        make_format("cssr")


@pytest.mark.parametrize(
    ("name", "pattern", "text"),
    [
        ("nm", None, "nm:2:4"),
        ("nm", "4:8", "nm:4:8"),
        ("nm", "v64:2:8", "nm:2:8"),
        ("nm", "unstructured:0.9", "nm:2:4"),
        ("nm:1:4", "4:8", "nm:1:4"),
        ("bsr", None, "bsr:4x1"),
        ("bsr", "block:8x2:0.5", "bsr:8x2"),
        ("bsr", "2:4", "bsr:4x1"),
        ("vnm", None, "vnm:64:2:8"),
        ("vnm", "v32:2:16", "vnm:32:2:16"),
        ("csr", "2:4", "csr"),
    ],
)
def test_parameters_come_from_the_pattern(name: str, pattern: str | None, text: str) -> None:
    assert str(make_format(name, pattern=parse_pattern(pattern) if pattern else None)) == text


def test_encode_takes_a_name_or_a_format() -> None:
    mask = np.zeros((4, 8), bool)
    mask[:, ::4] = True
    by_name = encode(ONES, "nm", mask, pattern=parse_pattern("1:4"))
    by_value = encode(ONES, make_format("nm:1:4"), mask)
    assert by_name.format == by_value.format
    assert by_name.pack() == by_value.pack()
    assert encode([[0.0, 2.0]], "csr").decode().tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize(
    ("weights", "x", "y"),
    [
        (np.int8, np.int8, np.int32),
        (np.uint8, np.int8, np.int32),
        (np.int16, np.int8, np.int64),
        (np.float32, np.float32, np.float32),
        (np.float16, np.float16, np.float32),
        (np.float32, np.float64, np.float64),
        (np.int8, np.float32, np.float32),
    ],
)
def test_sums_are_kept_in_a_wide_enough_dtype(weights: Any, x: Any, y: Any) -> None:
    product = multiply(encode(np.full((2, 3), 100, weights), "csr"), np.full(3, 100, x))
    assert product.dtype == y
    assert product.tolist() == [30000, 30000]


@pytest.mark.parametrize("shape", [(), (7,), (7, 2), (8, 1, 1)])
def test_a_product_needs_matching_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected x of shape \(8, n\) or \(8,\)"):
        multiply(encode(ONES, "csr"), np.ones(shape, np.float32))


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Entry points under our group, as ``name -> target``."""

    def install(**targets: str) -> None:
        points = [
            EntryPoint(name=name, value=target, group=registry.GROUP) for name, target in targets.items()
        ]
        monkeypatch.setattr(registry, "entry_points", lambda group: {registry.GROUP: points}[group])
        registry._third_party.cache_clear()

    yield install
    registry._third_party.cache_clear()


def test_other_packages_register_formats(third_party: Any) -> None:
    third_party(
        mine="third_party_format:MineFormat", csr="third_party_format:MineFormat", lost="nowhere:Lost"
    )
    assert format_names() == (*NAMES, "mine", "lost")
    encoded = encode(ONES, "mine:step=2")
    assert str(encoded.format) == "mine:step=2"
    np.testing.assert_array_equal(encoded.decode(), ONES)
    assert make_format("csr").name == "csr"
    assert type(make_format("csr")).__module__ == "simsparse.formats.csr"


def test_a_wrong_registration_names_the_culprit(third_party: Any) -> None:
    third_party(other="third_party_format:MineFormat")
    with pytest.raises(FormatError, match='format other: expected a SparseFormat class named "other"'):
        make_format("other")
    third_party(lost="nowhere:Lost")
    with pytest.raises(FormatError, match="format lost: expected nowhere:Lost to load"):
        make_format("lost")


def test_names_come_without_compilers() -> None:
    code = "import sys, simsparse.formats as f; f.format_names(); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("module", [info.name for info in pkgutil.iter_modules(simsparse.formats.__path__)])
def test_examples_in_docstrings_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"simsparse.formats.{module}")).failed == 0


def test_examples_of_the_package_run() -> None:
    result = doctest.testmod(simsparse.formats)
    assert (result.failed, result.attempted > 0) == (0, True)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = simsparse.formats.nothing
