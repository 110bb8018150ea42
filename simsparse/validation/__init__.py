"""Published figures beside ours: `simsparse.validation.validate`."""

from simsparse.validation.check import Check
from simsparse.validation.targets import target_names, validate

__all__ = ["Check", "target_names", "validate"]
