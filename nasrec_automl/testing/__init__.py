"""Contract tests that every operator, path sampler and one-shot strategy passes, and what tests need beside them.

A variant's test class inherits a contract and gives one fixture. Tests alone import this package: it needs the extra
`test`.
"""
