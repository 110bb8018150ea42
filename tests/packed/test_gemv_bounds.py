"""No load beyond the packed arrays or the copy of x: both end at memory that must not be touched."""

from __future__ import annotations

import ctypes
import mmap
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from simsparse.formats.csr import CsrFormat
from simsparse.packed import gemv_layout
from simsparse.packed.gemv import KERNELS, pack_gemv

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="guard pages by mprotect")

PAGES = []  # an mmap object must outlive the arrays in it


def guarded(array):
    """A copy that ends where an inaccessible page starts."""
    pages = -(-max(1, array.nbytes) // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    PAGES.append(memory)
    whole = np.frombuffer(memory, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    guard = ctypes.c_void_p(whole.ctypes.data + pages * mmap.PAGESIZE)
    assert libc.mprotect(guard, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    start = pages * mmap.PAGESIZE - array.nbytes
    copy = whole[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("n", [1, 3])
def test_nothing_beyond_the_arrays_is_read(kernel, dtype, n, monkeypatch):
    rng = np.random.default_rng(7)
    for m, k in ((1, 1), (5, 9), (13, 67)):
        weights = rng.standard_normal((m, k)).astype(np.float32)
        weights[:, np.arange(k) % 4 > 1] = 0
        weights[rng.random((m, k)) < 0.3] = 0
        packed = pack_gemv(CsrFormat().encode(weights), kernel=kernel, dtype=dtype)
        layout = packed.layout
        arrays = {f.name: getattr(layout, f.name) for f in fields(layout)}
        moved = {name: guarded(a) for name, a in arrays.items() if isinstance(a, np.ndarray)}
        x = rng.standard_normal((k, n)).astype(np.float32)
        wanted = packed.multiply(x)
        with monkeypatch.context() as patch:
            patch.setattr(gemv_layout, "scratch", lambda size: guarded(np.empty(size, np.float32)))
            patch.setattr(gemv_layout, "aligned_zeros", lambda size, dtype: guarded(np.zeros(size, dtype)))
            apart = replace(packed, layout=replace(layout, **moved))
            got, bound = apart.multiply(x), guarded(np.empty((m, n), np.float32))
            apart.bind(guarded(x), bound)()
        assert np.array_equal(got, wanted)
        assert np.array_equal(bound, wanted)
