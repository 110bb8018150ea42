"""What is said about a run is true of its numbers, also where nothing was gained."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_example import cost, example_run, layer

from simsparse.ir import Unsupported
from simsparse.load.catalog import load_hardware
from simsparse.report.sentences import NO_CHANGE, advice, change, unsupported_lines, verdict


def test_the_verdict_names_gains_baseline_and_limit() -> None:
    assert verdict(example_run()) == (
        "net on stc (int8, batch 1), 2:4: 2.00x faster, 1.50x less energy, 2.00x smaller than its best dense "
        "execution on the same machine (dense int8 tiles).",
        "7.60 ms instead of 15.2 ms; 5.03 mJ instead of 7.54 mJ; weights 1.10 kB instead of 2.20 kB.",
        "Limited by dram: 96.0 % of the time is spent where it is the bottleneck.",
    )


def test_a_loss_is_told_as_a_loss() -> None:
    slow = example_run(totals=cost(16.3e-3, 9e-3, stored=3000))
    assert "2:4: 1.07x slower, 1.19x more energy, 1.50x larger than" in verdict(slow)[0]


def test_no_change_is_told_as_none() -> None:
    same = example_run(totals=cost(15.2e-3, 7.545e-3, stored=2000))
    assert "2:4: no gain over its best dense execution" in verdict(same)[0]


@given(value=st.floats(1e-6, 1e6))
def test_the_number_told_is_never_below_one_and_the_word_fits(value: float) -> None:
    text = change(value, "faster", "slower", "no faster")
    if text == "no faster":
        assert abs(math.log(value)) <= math.log(1 + NO_CHANGE) * 1.001
        return
    number, word = text.split()
    assert word == ("faster" if value > 1 else "slower")
    assert float(number.removesuffix("x")) == pytest.approx(max(value, 1 / value), rel=6e-3)
    assert float(number.removesuffix("x")) >= 1


def test_everything_removed() -> None:
    empty = cost(0.0, 0.0, stored=0)
    assert "infinitely faster" in verdict(example_run(totals=empty))[0]


def test_a_dense_run_is_not_compared_with_itself() -> None:
    layers = tuple(replace(item, weight_density=1.0) for item in example_run().layers)
    run = example_run(pattern="dense", layers=layers)
    first, limit = verdict(run)
    assert first == "net on stc (int8, batch 1), nothing pruned: 7.60 ms, 5.03 mJ, weights 1.10 kB."
    assert limit.startswith("Limited by dram")
    assert advice(run, load_hardware("stc")) == "simsparse simulate net --on stc --prune 2:4"
    assert "--prune unstructured:0.9" in (advice(run) or "")


def test_zeros_that_the_model_brought_are_compared() -> None:
    assert "with the zeros it brought: 2.00x faster" in verdict(example_run(pattern="dense"))[0]


def test_advice_fits_the_trouble() -> None:
    slow = example_run(totals=cost(16e-3, 9e-3))
    assert advice(slow, load_hardware("tensor-core")) == (
        "simsparse list hardware  (this machine skips no zeros of this kind)"
    )
    unused = replace(slow, pattern="unstructured:0.9", layers=(layer("a", format="csr"),))
    assert (advice(unused, load_hardware("stc")) or "").startswith(
        "simsparse simulate net --on stc --prune 2:4 "
    )
    fixed = example_run(format="csr")
    assert advice(fixed, load_hardware("stc")) == "simsparse simulate net --on stc --prune 2:4 --format auto"
    assert "--batch 4" in (advice(example_run(bound_by="launch")) or "")
    assert advice(example_run()) is None


def test_a_name_in_a_command_is_quoted() -> None:
    run = example_run(format="csr", model="my net; rm -rf $HOME")
    assert "simulate 'my net; rm -rf $HOME' --on" in (advice(run) or "")


def test_unsupported_parts_have_reason_and_share() -> None:
    assert unsupported_lines(example_run()) == ("nms: no such operator here (7.0 % of the multiply-adds)",)
    many = tuple(Unsupported(name=f"p{i}", reason="why", macs_share=0.01) for i in range(9))
    (line,) = unsupported_lines(example_run(unsupported=many))
    assert line == "p0, p1, p2, p3, p4, p5 and 3 more (--json names all): why (9.0 % of the multiply-adds)"


def test_names_cannot_speak_to_the_terminal() -> None:
    run = example_run(
        model="a\x1b[31m", hardware="b\nc", unsupported=(Unsupported(name="\x07", reason="\r"),)
    )
    for line in (*verdict(run), *unsupported_lines(run), advice(replace(run, format="csr")) or ""):
        assert line.isprintable()
    assert re.search(r"a\\x1b\[31m on b\\nc", verdict(run)[0])
