"""Timings; they inform and never pass or fail."""
