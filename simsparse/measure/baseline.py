"""The dense execution that a network is measured against: the best library at hand, in the same process."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np

from simsparse.measure.network import Network, load_network
from simsparse.measure.ops_product import Kernels

Feeds = Mapping[str, Any]


class Baseline(Protocol):
    """A dense execution of the same network."""

    @property
    def name(self) -> str:
        """The library and its version."""

    def run(self, feeds: Feeds) -> None:
        """From inputs to outputs."""

    def layer_times(self, network: Network, feeds: Feeds, repeat: int) -> dict[str, float]:
        """Seconds of the layers that the library runs as such, by the names of ``network``."""


class OnnxRuntime:
    """onnxruntime on its CPU provider, all optimisations on."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        self._library, self._path, self._threads = onnxruntime, path, threads
        self._session = self._open()

    @property
    def name(self) -> str:
        return f"onnxruntime {self._library.__version__}"

    def run(self, feeds: Feeds) -> None:
        self._session.run(None, dict(feeds))

    def layer_times(self, network: Network, feeds: Feeds, repeat: int) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            session = self._open(str(Path(folder) / "profile"))
            for _ in range(repeat + 1):
                session.run(None, dict(feeds))
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return times_by_layer(events, network, skip=1)

    def _open(self, profile: str = "") -> Any:
        options = self._library.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self._threads, 3
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        return self._library.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])


def times_by_layer(events: Sequence[Mapping[str, Any]], network: Network, *, skip: int) -> dict[str, float]:
    """Times of a profile by layer: the library names a joined operator after one of those it joined."""
    names: dict[str, str] = {}
    for bound in network.steps:
        node = bound.step.node
        for name in (*node.joined, *node.outputs, node.name, *((node.proto.name,) if node.proto else ())):
            names.setdefault(name, node.name)
    seen: dict[tuple[str, str], list[float]] = {}
    for event in events:
        base = str(event.get("name", "")).removesuffix("_kernel_time")
        if event.get("cat") != "Node" or base == event["name"]:
            continue
        known = (base, base.removesuffix("_nchwc"), base.split("/Mat")[0])
        key = next((name for name in known if name in names), None)
        if key is not None:
            seen.setdefault((names[key], base), []).append(event["dur"] * 1e-6)
    total: dict[str, float] = {}
    for (layer, _), times in seen.items():  # a product and what it left of its epilogue
        total[layer] = total.get(layer, 0.0) + median(times[skip:] or times)
    return total


class OwnDense:
    """Our own kernels with dense weights, where no other library is installed."""

    def __init__(self, load: Callable[[], Network]) -> None:
        self._network = load()
        self._times: list[np.ndarray[Any, Any]] = []

    @property
    def name(self) -> str:
        return f"simsparse, dense weights (NumPy {np.__version__})"

    def run(self, feeds: Feeds) -> None:
        self._network.run(feeds)
        self._times.append(self._network.step_s.copy())

    def layer_times(self, network: Network, feeds: Feeds, repeat: int) -> dict[str, float]:  # noqa: ARG002
        if not self._times:
            self.run(feeds)
        medians = np.median(self._times, axis=0)
        steps = zip(self._network.steps, medians, strict=True)
        return {bound.step.node.name: float(time_s) for bound, time_s in steps if bound.step.op.product}


def best_baseline(
    path: Path, *, batch: int | None, seq: int | None, threads: int, feeds: Feeds
) -> tuple[Baseline, tuple[str, ...]]:
    """The best dense library here that runs this file with these inputs, and why it is not onnxruntime."""
    reason = "onnxruntime is not installed"
    try:
        baseline = OnnxRuntime(path, threads)
        baseline.run(feeds)
    except ImportError:
        pass
    except Exception as error:  # any type, from C++: a model that it cannot run
        reason = f"onnxruntime cannot run it ({' '.join(str(error).split())[:120]})"
    else:
        return baseline, ()

    def load() -> Network:
        kernels = Kernels(format="dense", threads=threads)
        return load_network(path, batch=batch, seq=seq, kernels=kernels)

    return OwnDense(load), (f"{reason}: the baseline is our own dense execution",)
