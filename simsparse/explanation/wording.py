"""What each term of an explanation is called and means."""

from __future__ import annotations

from collections.abc import Mapping

from simsparse.explanation.counterfactual import Cost

WITHOUT_WEIGHTS = "layers without weights"
NOT_PRUNED = "layers not pruned"
_NAMES = {
    Cost.OVERHEADS: "fixed overheads",
    Cost.DECODE: "decode",
    Cost.CONFLICTS: "bank conflicts",
    Cost.METADATA: "metadata traffic",
    Cost.ACTIVATIONS: "input and output traffic",
    Cost.BANDWIDTH: "bandwidth",
    Cost.IMBALANCE: "load imbalance",
    Cost.WAVES: "wave quantisation",
    Cost.TILES: "tile quantisation",
    Cost.ZEROS: "zeros not skipped",
}
MEANINGS: Mapping[str, str] = {
    WITHOUT_WEIGHTS: "attention products, normalisation, pooling …: pruning leaves their time as it is",
    NOT_PRUNED: "layers that kept all their weights take as long as before",
    "fixed overheads": "starting layers and thread blocks, pipeline fill, control",
    "decode": "turning stored weights into what the units compute on",
    "bank conflicts": "products that wait for an accumulator bank that takes another one",
    "metadata traffic": "bytes that say where the kept weights are",
    "input and output traffic": "activations in and out, which pruning weights does not shrink",
    "bandwidth": "what is left to move, with the latency of moving it; above 1 where fewer bytes pay",
    "load imbalance": "units that wait for the one with most work",
    "wave quantisation": "units without a tile, above all at the end of a layer",
    "tile quantisation": "tiles that stick out of the matrix, padding, inner loops below the peak rate",
    "zeros not skipped": "removed weights that still take their turn at a multiplier",
}


def name_of(cost: Cost) -> str:
    """What a cost is called in an explanation."""
    return _NAMES[cost]
