"""From a BIDS dataset to a calibrated multi-modal classifier, and the evidence for how far to trust it."""

__version__ = "0.1.0"
