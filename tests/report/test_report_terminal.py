"""The table fits narrow terminals, loses no column and adds up."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from run_example import cost, example_run, layer

from simsparse.load.catalog import load_hardware
from simsparse.report.terminal import print_run
from simsparse.results import Run


def printed(run: Run, width: int, *, all_layers: bool = False, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=colour, markup=False, emoji=False, highlight=False
    )
    print_run(console, run, hardware=load_hardware("stc"), all_layers=all_layers)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_it_fits_and_loses_no_column(width: int) -> None:
    long = layer("a" * 40, m=51200, k=51200, n=65536, format="hbitmask:block=64", bound_by="weight_memory")
    text = printed(example_run(layers=(*example_run().layers, long)), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    joined = "".join(text.split())
    head = next(line for line in text.splitlines() if line.startswith("layer"))
    for column in ("layer", "m×k×n", "dens", "format", "time", "share", "energy", "bound", "util."):
        assert column in head
    assert text.count("a") >= 40
    assert "verdict" not in joined


def test_shares_are_of_all_instances_and_add_up() -> None:
    text = printed(example_run(), 120)
    shares = [
        float(word.removesuffix("%"))
        for line in text.splitlines()
        for word in line.split()
        if word[-2:-1].isdigit() and word.endswith("%") and "." in word
    ]
    assert sum(shares) == pytest.approx(100.0, abs=0.3)
    line = next(line for line in text.splitlines() if line.startswith("block.conv"))
    assert "6.00 ms" in line
    assert "78.9%" in line


def test_layers_without_a_product_are_grouped_by_kind_or_listed() -> None:
    grouped = printed(example_run(), 100).splitlines()
    assert any(
        line.startswith("all activation") and "400 us" in line and "dram/vector" in line for line in grouped
    )
    assert any(line.startswith("all normalization") for line in grouped)
    assert not any(line.startswith("relu") for line in grouped)
    listed = printed(example_run(), 100, all_layers=True).splitlines()
    assert any(line.startswith("relu2") for line in listed)
    assert not any(line.startswith("all ") for line in listed)


def test_everything_left_out_is_said() -> None:
    text = printed(example_run(), 100)
    for part in ("Not simulated:", "nms", "Approximations:", "weights are seeded", "Not modelled on stc:"):
        assert part in text


@pytest.mark.parametrize(
    "name", ["[red]conv[/red]", "\x1b[31mconv\x1b[0m", "conv\nfake 9.99x faster", ":smile:", "[link=x]"]
)
def test_names_are_shown_and_never_obeyed(name: str) -> None:
    text = printed(example_run(layers=(layer(name),), totals=cost(1e-3, 1e-3)), 120)
    assert "\x1b" not in text
    shown = name.encode("unicode_escape").decode()
    assert any(line.startswith(shown) for line in text.splitlines())


def test_colour_is_only_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" not in printed(example_run(), 80)
    assert "\x1b[1m" in printed(example_run(), 80, colour=True)
