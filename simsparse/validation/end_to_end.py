"""Networks measured end to end on GPUs: times within 25 %, gains within 15 %."""

from __future__ import annotations

from simsparse.validation import bert_networks, llama_decode, vision_networks
from simsparse.validation.check import Check


def checks() -> list[Check]:
    """All networks."""
    return [
        *bert_networks.venom_checks(),
        *bert_networks.semi_structured_checks(),
        *vision_networks.mobilenet_checks(),
        *vision_networks.vit_checks(),
        *llama_decode.checks(),
    ]
