"""`python -m tests.benchmarks recipe`: what each default of training from scratch brings."""
