"""A rootless container supervisor. nsinit imports this package: keep it to the version."""

__version__ = "0.1.0"
