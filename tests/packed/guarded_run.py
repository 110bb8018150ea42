"""Run as a script: products between pages that may not be touched; one byte too far ends in a crash."""

from __future__ import annotations

import ctypes
import dataclasses
import mmap

import numpy as np

from simsparse.formats import encode
from simsparse.packed import prepare, prepare_conv
from tests.packed.conv_cases import conv_shape, convolved
from tests.packed.product_cases import masks, product, weights

PAGE = mmap.PAGESIZE
kept = []


def guarded(array, *, at_end):
    """A copy that ends (or starts) at the border of a page without access."""
    pages = -(-max(array.nbytes, 1) // PAGE)
    room = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (0, pages + 1):
        place = ctypes.c_void_p(start + page * PAGE)
        if libc.mprotect(place, ctypes.c_size_t(PAGE), ctypes.c_int(0)) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
    kept.append(room)
    offset = PAGE + (pages * PAGE - array.nbytes if at_end else 0)
    copy = np.frombuffer(room, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


def check(kernel, n, at_end):
    mask = masks(67, 300)["half"]
    w = weights(mask)
    packed = prepare(
        encode(w, "csr", mask), n, kernel=kernel, bias=guarded(np.ones(67, np.float32), at_end=at_end)
    )
    fields = {
        name: guarded(getattr(packed.ready, name), at_end=at_end)
        for name in ("spans", "rows", "counts", "columns", "values")
    }
    ready = dataclasses.replace(packed.ready, **fields)
    packed = dataclasses.replace(packed, ready=ready)
    x = guarded(np.random.default_rng(0).standard_normal((300, n)).astype(np.float32), at_end=at_end)
    out = guarded(np.zeros((67, n), np.float32), at_end=at_end)
    residual = guarded(np.ones((67, n), np.float32), at_end=at_end)
    packed.multiply(x, out=out, residual=residual)
    assert np.allclose(out, product(w, mask, x) + 2, atol=1e-3), (kernel, n)


def with_guards(ready, *, at_end):
    """The same weights with the tables of their window between guards."""
    if hasattr(ready, "images"):
        return dataclasses.replace(ready, images=with_guards(ready.images, at_end=at_end))
    if hasattr(ready, "window"):
        window = {name: guarded(getattr(ready.window, name), at_end=at_end) for name in ("masks", "numbers")}
        return dataclasses.replace(ready, window=dataclasses.replace(ready.window, **window))
    return ready


def check_conv(kernel, groups, conv, at_end, density=0.5):
    rng = np.random.default_rng(0)
    mask = rng.random((12, 6 // groups * conv.kernel_height * conv.kernel_width)) < density
    w = weights(mask)
    bias = guarded(np.ones(12, np.float32), at_end=at_end)
    packed = prepare_conv(encode(w, "csr", mask), conv, groups=groups, kernel=kernel, bias=bias)
    ready = with_guards(packed.ready, at_end=at_end)
    x = rng.standard_normal((2, 6, conv.in_height, conv.in_width)).astype(np.float32)
    x = guarded(x, at_end=at_end)
    shape = (2, 12, conv.out_height, conv.out_width)
    out, residual = (guarded(np.full(shape, v, np.float32), at_end=at_end) for v in (0, 1))
    dataclasses.replace(packed, ready=ready).multiply(x, out=out, residual=residual)
    expected, _ = convolved(w, mask, x, conv, groups)
    assert np.allclose(out, expected + 2, atol=1e-3), (kernel, conv)


if __name__ == "__main__":
    for size in ((7, 7), (5, 9), (4, 35)):
        for stride, padding in ((1, 1), (1, 0), (2, 1), (3, 0)):
            conv = conv_shape(6, size, (3, 3), (stride, stride), (padding,) * 4)
            for at_end in (True, False):
                check_conv("csr", 1, conv, at_end)
                check_conv("depthwise", 6, conv, at_end)
                check_conv("depthwise", 6, conv, at_end, density=1.0)
                check_conv("direct", 1, conv, at_end, density=1.0)
        for at_end in (True, False):
            check_conv("csr", 1, conv_shape(6, size, (1, 1), (2, 2)), at_end)
            check_conv("csr", 1, conv_shape(6, size, (1, 1), (2, 1)), at_end)
    for size in ((70, 117), (100, 83), (1200, 7)):  # read straight from the image
        for stride in (1, 2):
            for at_end in (True, False):
                conv = conv_shape(6, size, (3, 3), (stride, stride), (1, 1, 1, 1))
                check_conv("depthwise", 6, conv, at_end, density=1.0)
    for kernel in ("csr", "pairs", "grouped"):
        for n in (3, 16, 17, 130):
            for at_end in (True, False):
                check(kernel, n, at_end)
    probe = guarded(np.zeros(4, np.float32), at_end=True)
    print("no byte out of bounds", flush=True)
    ctypes.string_at(probe.ctypes.data + 16, 1)
    print("the guards do not guard")
