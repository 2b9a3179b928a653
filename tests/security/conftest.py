"""Keepers and folders for attacks, as root and as the ordinary user."""

from tests.nsinit.conftest import folder, keeper, own_keeper, shared_keeper, who

__all__ = ["folder", "keeper", "own_keeper", "shared_keeper", "who"]
