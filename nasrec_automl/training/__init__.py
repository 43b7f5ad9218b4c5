"""Training: the Lightning module, its optimiser, clipping, schedule and metrics."""
