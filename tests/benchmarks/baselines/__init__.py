"""Baselines with a run's own rows, features, seeds and tuning time; the extra `bench` brings the CTR library."""
