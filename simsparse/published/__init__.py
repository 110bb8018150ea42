"""Sparse networks of the literature with their published accuracy, beside what they cost on a machine."""
