"""Synthetic people with known truth, as a BIDS dataset: the embedded demo and the tests' ground truth."""
