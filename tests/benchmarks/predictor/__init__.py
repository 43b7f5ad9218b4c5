"""`python -m tests.benchmarks predictor`: how well few trainings order architectures that were not trained."""
