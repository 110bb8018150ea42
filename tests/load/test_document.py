"""YAML becomes plain data with positions, and every mistake becomes one line that says the way out."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from simsparse.errors import FileError, UsageError
from simsparse.load.document import MAX_BYTES, Document, read_document, shown_path, validated
from simsparse.load.yaml_tree import MAX_DEPTH, YamlError, parse_yaml

SCANNERS = [pytest.param(False, id="c"), pytest.param(True, id="pure")]
words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12)
# ruamel cannot read back all that it writes, such as {:0: x} or keys broken over lines
tame = st.from_regex(r"[a-zé][a-z0-9é_.:-]{0,8}[a-z0-9]", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | words
scalars |= st.floats(allow_nan=False, allow_infinity=False)


def nested(keys: st.SearchStrategy[str], leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=10,
    )


trees = nested(words, scalars)
tame_trees = nested(tame, scalars.filter(lambda value: not isinstance(value, str)) | tame)


def written(tmp_path: Path, text: str | bytes, name: str = "x.yaml") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def mistakes(tmp_path: Path, text: str | bytes, *, pure: bool = False) -> list[str]:
    path = written(tmp_path, text)
    with pytest.raises(FileError) as raised:
        read_document(path, pure=pure)
    for line in raised.value.mistakes:
        assert "\n" not in line
        assert line.isprintable()
    return [line.removeprefix(f"{shown_path(path)}:") for line in raised.value.mistakes]


def dumped(data: Any, *, flow: bool | None) -> str:
    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = flow
    writer.width = 10**6
    writer.dump(data, stream)
    return stream.getvalue()


@given(data=st.dictionaries(words, trees, max_size=5), pure=st.booleans())
def test_json_is_yaml(data: dict[str, Any], pure: bool) -> None:
    tree = parse_yaml(json.dumps(data, ensure_ascii=False), pure=pure)
    assert tree.data == data
    assert not tree.mistakes


@given(data=st.dictionaries(tame, tame_trees, max_size=5), flow=st.sampled_from([None, False, True]))
def test_what_another_writer_wrote_is_read_back_by_both_scanners(data: Any, flow: bool | None) -> None:
    text = dumped(data, flow=flow)
    quick, slow = parse_yaml(text), parse_yaml(text, pure=True)
    assert quick == slow
    assert quick.data == data


@given(text=st.text(max_size=60), pure=st.booleans())
def test_any_text_is_read_or_refused_at_a_place_inside_it(text: str, pure: bool) -> None:
    lines = (
        text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029")
    )
    try:
        places = [place for place, _ in parse_yaml(text, pure=pure).mistakes]
    except YamlError as error:
        places = [error.position]
    assert all(1 <= line <= lines + 1 and column >= 1 for line, column in places)


@pytest.mark.parametrize("pure", SCANNERS)
def test_positions_of_values_and_keys(tmp_path: Path, pure: bool) -> None:
    path = written(tmp_path, "a:\n  - {b: 1, c: [x, y]}\nd:\n", "p.yaml")
    document = read_document(path, pure=pure)
    places = {
        ("a", 0, "b"): (2, 9),
        ("a", 0, "c", 1): (2, 19),
        ("a",): (2, 3),
        ("d",): (3, 1),
        ("a", 0, "nowhere", "deep"): (2, 5),
    }
    assert {location: document.position(location) for location in places} == places
    assert document.position(("a", 0, "c"), key=True) == (2, 12)
    assert document.where(("d",)) == f"{shown_path(path)}:3:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e9", 1e9),
        ("1.0e9", 1e9),
        ("-.5", -0.5),
        ("+12", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("'1'", "1"),
        ("2:4", "2:4"),
        ("https://x.org/a", "https://x.org/a"),
        ("~", None),
    ],
)
@pytest.mark.parametrize("pure", SCANNERS)
def test_scalars_follow_yaml_1_2(text: str, value: object, pure: bool) -> None:
    for form in (f"key: {text}\n", f"{{key: {text}, other: 1}}\n", f"[{{key: {text}}}]"):
        data = parse_yaml(form, pure=pure).data
        found = data[0]["key"] if isinstance(data, list) else data["key"]
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize("pure", SCANNERS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: a: expected each key once, got it again (first at 1:1; remove one)"),
        ("a: &x 1\n", "1:4: expected plain data, got the anchor &x (write the value out)"),
        ("a: !!python/object:os.system 1\n", "1:4: expected plain data, got the tag"),
        ("a: !!int 1\n", "1:4: expected plain data, got the tag tag:yaml.org,2002:int (remove it)"),
        ("a: .inf\n", "1:4: expected a finite number, got .inf"),
        ("a: 1e999\n", "1:4: expected a finite number, got 1e999"),
        ("", "1:1: expected a mapping, got an empty file"),
        ("# only a comment\n", "1:1: expected a mapping, got an empty file"),
        ("a: 1\n---\nb: 2\n", "2:1: expected one document, got a second one (remove what follows ---)"),
        ("a:\n\tb: 1\n", "2:1: found a character that cannot start a value (indent with spaces"),
        ("a: b: c\n", "1:5: found a second ': ' in one line (quote text that contains ': ')"),
        ("a: [1,\n", "2:1: "),
        ("? [a]\n: 1\n", "1:3: expected text as a key, got a list or mapping (write key: value)"),
        ("a: \x07b\n", "1:4: "),
        ('a: "\\ud800"\n', "1:4: expected Unicode text, got half a character"),
        (b"a: \xff\n", "1:1: expected UTF-8 text, got byte 0xff (save it as UTF-8)"),
    ],
)
def test_what_a_data_file_does_not_need_is_refused(
    tmp_path: Path, text: str, expected: str, pure: bool
) -> None:
    (line,) = mistakes(tmp_path, text, pure=pure)
    assert line.startswith(expected)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    lines = mistakes(tmp_path, "a: &x 1\nb: *x\na: !t {c: .nan}\n")
    assert [line.split(":")[0] for line in lines] == ["1", "2", "3", "3", "3"]


def test_aliases_cannot_multiply(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert len(mistakes(tmp_path, "\n".join(levels))) == 30 + 29 * 9


@pytest.mark.parametrize("pure", SCANNERS)
@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_is_bounded(tmp_path: Path, opening: str, pure: bool) -> None:
    (line,) = mistakes(tmp_path, opening * 100_000, pure=pure)
    assert f"expected at most {MAX_DEPTH} levels" in line


def test_size_is_bounded(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, b"#" * (MAX_BYTES + 1))
    assert line.startswith(" expected at most 2 MiB of YAML, got more")


def test_missing_files_folders_and_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="expected a readable file, got: no such file or directory"):
        read_document(tmp_path / "absent.yaml")
    with pytest.raises(FileError, match="got: is a directory"):
        read_document(tmp_path)
    monkeypatch.chdir(tmp_path)
    document = read_document(written(tmp_path, b"\xef\xbb\xbfa: 1\r\n"))
    assert document.data == {"a": 1}
    assert document.path == "x.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    family: Literal["round"] = "round"
    radius_nm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    family: Literal["square"] = "square"
    side_nm: float
    corners: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.side_nm == 13:
            raise UsageError("square: expected a lucky side")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    name: str
    clock_hz: float
    units: int
    wide: bool = False
    kind: Literal["gpu", "cpu"] = "gpu"
    shape: Round | Square
    parts: tuple[Round, ...] = ()
    limit_w: float | None = None


ADAPTER = TypeAdapter(Chip)
GOOD = "name: x\nclock_hz: 1.0e9\nunits: 4\nshape: {family: square, side_nm: 2, corners: [1, 2]}\n"


def chip(text: str) -> Chip:
    tree = parse_yaml(text)
    return validated(Document(path="x.yaml", data=tree.data, values=tree.values, keys=tree.keys), ADAPTER)


def test_a_good_file_becomes_the_value() -> None:
    shape = Square(side_nm=2.0, corners=(1, 2))
    assert chip(GOOD) == Chip(name="x", clock_hz=1e9, units=4, shape=shape)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1.0e9", '"1 GHz"', 'x.yaml:2:11: clock_hz: expected a number in Hz, got "1 GHz" (write 1.0e9)'),
        ("1.0e9", "800 MHz", 'x.yaml:2:11: clock_hz: expected a number in Hz, got "800 MHz" (write 8.0e8)'),
        (
            "1.0e9",
            "true",
            "x.yaml:2:11: clock_hz: expected a number in Hz, got true (write a plain number such as 1.0e9)",
        ),
        (
            "1.0e9",
            "",
            "x.yaml:2:1: clock_hz: expected a number in Hz, got nothing (write a number, or leave "
            "the key out)",
        ),
        ("1.0e9", "[1]", "x.yaml:2:11: clock_hz: expected a number in Hz, got a list"),
        ("units: 4", "units: 4.5", "x.yaml:3:8: units: expected a whole number, got 4.5 (write 4)"),
        ("units: 4", 'units: "4"', 'x.yaml:3:8: units: expected a whole number, got "4" (write 4)'),
        ("units: 4", "unit: 4", 'x.yaml:3:1: unit: expected a known key, got "unit" (did you mean units?)'),
        ("name: x", "name: 7", "x.yaml:1:7: name: expected text, got 7 (put it in quotes)"),
        ("name: x", "wide: 1", "x.yaml:1:7: wide: expected true or false, got 1 (write true or false)"),
        ("name: x", "kind: gpx", 'x.yaml:1:7: kind: expected one of gpu, cpu, got "gpx" (did you mean gpu?)'),
        (
            "square",
            "squares",
            'x.yaml:4:17: shape.family: expected one of round, square, got "squares" (did you mean square',
        ),
        (
            "family: square, ",
            "",
            "x.yaml:4:8: shape.family: expected one of round, square, got nothing (write family: round)",
        ),
        (
            "side_nm: 2",
            "side: 2",
            'x.yaml:4:25: shape.side: expected a known key, got "side" (did you mean side_nm?)',
        ),
        (
            "[1, 2]",
            "[1, b]",
            'x.yaml:4:50: shape.corners[1]: expected a whole number, got "b" (write a plain number',
        ),
        ("[1, 2]", "3", "x.yaml:4:46: shape.corners: expected a list, got 3 (write [a, b])"),
        ("side_nm: 2", "side_nm: 13", "x.yaml:1:1: square: expected a lucky side"),
        (
            "shape: ",
            "parts: [{family: round}]\nshape: ",
            "x.yaml:4:9: parts[0].radius_nm: expected a value, got nothing",
        ),
    ],
)
def test_mistakes_say_where_what_expected_got_and_the_way_out(old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(FileError) as raised:
        chip(GOOD.replace(old, new))
    assert any(line.startswith(expected) for line in raised.value.mistakes), raised.value.mistakes


def test_every_mistake_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(FileError) as raised:
        chip("name: 1\nclok_hz: 3\nunits: x\nshape: {family: round, radius_nm: a, side_nm: 1}\nlimit_w: y\n")
    starts = [line.split(" ")[0] for line in raised.value.mistakes]
    assert starts == [
        "x.yaml:1:1:",
        "x.yaml:1:7:",
        "x.yaml:2:1:",
        "x.yaml:3:8:",
        "x.yaml:4:35:",
        "x.yaml:4:38:",
        "x.yaml:5:10:",
    ]


def test_hostile_keys_and_values_stay_on_one_printable_line() -> None:
    with pytest.raises(FileError) as raised:
        chip(GOOD + '"\\e[31mred\\n": 1\nkind: "\\e]0;x\\a\\n"\n')
    assert len(raised.value.mistakes) == 2
    assert all(line.isprintable() for line in raised.value.mistakes)


def test_a_list_where_a_record_is_expected() -> None:
    with pytest.raises(FileError, match=r"x\.yaml:1:1: expected a mapping, got a list \(write key: value\)"):
        chip("- 1\n")
