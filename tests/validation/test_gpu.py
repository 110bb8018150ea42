"""GPU rows: the right published times meet ours, and the summaries count what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simsparse.errors import UnknownNameError
from simsparse.load.catalog import load_hardware
from simsparse.validation import gpu_24, venom
from simsparse.validation.data_files import table
from simsparse.validation.gpu_timing import gpu_of, kernel_s, with_library


def row(library: str, ours: float, measured: float, pattern: str = "2:4") -> venom.Row:
    return venom.Row(
        file="a", library=library, shape=(1, 2, 3), pattern=pattern, vector="",
        ours_us=ours, measured_us=measured, dense_us=(1.0, 1.0),
    )  # fmt: skip


def test_pairs_apart_are_ranked_and_close_ones_left_out() -> None:
    found = [row("A", 10, 10), row("B", 9, 10.5), row("C", 12, 20), row("D", 11, 40)]
    assert sorted(venom.ranked(found)) == [False, True, True, True, True]


def test_the_best_library_is_asked_by_shape_and_pattern() -> None:
    found = [row("A", 1, 2), row("A", 9, 9), row("B", 2, 3), row("A", 5, 4, "2:8"), row("B", 4, 5, "2:8")]
    assert sorted(venom.best_library(found)) == [False, True]


def test_a_vnm_mask_keeps_two_of_four_shared_columns() -> None:
    mask = venom.vnm_mask(128, 70, 64, 7)
    groups = mask.reshape(2, 64, 10, 7)
    assert (groups.sum(axis=3) == 2).all()
    assert (groups.any(axis=1).sum(axis=2) == 4).all()


def test_rows_alike_are_timed_as_their_masks_are() -> None:
    machine = load_hardware("rtx-3090")
    mask = np.tile([True, True, False, False], (256, 64))
    assert kernel_s(machine, (256, 256, 128), "nm") == kernel_s(machine, (256, 256, 128), "nm", mask)
    assert kernel_s(machine, (256, 256, 128), "vnm:64:2:4") == kernel_s(
        machine, (256, 256, 128), "vnm:64:2:4", mask
    )


def test_every_product_of_the_table_with_a_stated_gpu_is_compared() -> None:
    published = [
        entry
        for entry in table("sparse24_measured")
        if entry["M_or_tokens"] and not entry["gpu"].startswith("not stated")
    ]
    assert len(published) == 13
    assert all((entry["gpu"], entry["library"]) in gpu_24._SETUPS for entry in published)


def test_a_wrong_side_of_one_is_seen() -> None:
    right = gpu_24.Row(name="a", source="s", named=True, ours_ms=(2.0, 1.0), measured_ms=(3.0, 2.0))
    wrong = dataclasses.replace(right, ours_ms=(1.0, 2.0))
    close = dataclasses.replace(right, ours_ms=(1.0, 2.0), measured_ms=(2.0, 1.98))
    by_quantity = {check.quantity: check for check in gpu_24.summary([right, wrong, close])}
    assert by_quantity["faster or slower said right"].ours == 0.5
    assert not by_quantity["faster or slower said right"].ok


def test_libraries_are_put_in_by_name_and_only_gpus_have_them() -> None:
    machine = load_hardware("h100")
    assert with_library(machine, "") is machine
    changed = with_library(machine, "cutlass-ampere")
    structured = gpu_of(changed).structured
    assert structured is not None
    assert structured.kernel.library.startswith("CUTLASS 3")
    with pytest.raises(UnknownNameError):
        with_library(machine, "cusparse")
    with pytest.raises(TypeError, match="expected a GPU, got broadcast-csc"):
        gpu_of(load_hardware("eie"))
