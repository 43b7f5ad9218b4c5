"""The search spaces, published architectures and hyper-parameter spaces that ship with the package (data only)."""
