"""Timings; they inform and never pass or fail."""

import os

# Before torch is imported: its profiler prints a line whenever it starts and stops.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
