"""What a measurement on this host gives back, per layer and end to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMeasurement:
    """One operator as it ran. Products have m, k, n; for other operators these are 0.

    ``time_s`` is the median over the runs, ``spread`` the distance from the first to the last decile as a
    share of it. What is not known is None.
    """

    name: str
    layer: str
    """Its layer in the workload, which identical operators share."""
    kind: str
    m: int = 0
    k: int = 0
    n: int = 0
    weight_density: float = 1.0
    activation_density: float | None = None
    """Share of nonzero values in its input."""
    format: str = ""
    kernel: str = ""
    time_s: float
    spread: float
    dense_s: float | None = None
    """The same layer in the dense library."""
    predicted_s: float | None = None
    flops: int = 0
    """Two per multiplied weight and column: zeros that are skipped do not count."""
    moved_bytes: int = 0
    """Packed weights, input and output, each once."""
    peak_share: float | None = None
    bandwidth_share: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def flops_per_s(self) -> float:
        """Operations done per second."""
        return self.flops / self.time_s if self.time_s else 0.0

    @property
    def bytes_per_s(self) -> float:
        """Bytes moved per second, at least."""
        return self.moved_bytes / self.time_s if self.time_s else 0.0

    @property
    def speedup(self) -> float | None:
        """Against the dense library."""
        return self.dense_s / self.time_s if self.dense_s is not None and self.time_s else None

    @property
    def prediction_error(self) -> float | None:
        """Predicted by measured time, minus one."""
        return self.predicted_s / self.time_s - 1.0 if self.predicted_s is not None and self.time_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A network as it ran on this host, beside the best dense library there is.

    Times are of one run from inputs to outputs, medians over ``runs``; None if it was interrupted before the
    first run ended.
    """

    model: str
    pattern: str
    format: str
    threads: int
    batch: int
    seed: int
    runs: int
    time_s: float | None
    spread: float | None
    dense_name: str
    dense_s: float | None
    dense_spread: float | None
    layers: tuple[LayerMeasurement, ...]
    host: str = ""
    """The machine file that the prediction is from; empty without one."""
    predicted_s: float | None = None
    """Of the layers that the machine file can predict, all together."""
    peak_activation_bytes: int = 0
    weight_bytes: int = 0
    """Packed."""
    energy_j: float | None = None
    """Of the processor's package in one run; None where the system does not tell."""
    loading_s: float = 0.0
    """Reading, encoding and packing."""
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def speedup(self) -> float | None:
        """Dense time by time."""
        return self.dense_s / self.time_s if self.dense_s is not None and self.time_s else None
