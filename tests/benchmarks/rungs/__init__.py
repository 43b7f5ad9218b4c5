"""`python -m tests.benchmarks rungs`: how early the trainings of a retrain stage say how they will end."""
