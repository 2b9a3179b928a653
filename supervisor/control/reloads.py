"""What a reload answers, for those who may not know of the policy."""

from supervisor.policy.diff import Change, FleetDiff, KeyChange

__all__ = ["Change", "FleetDiff", "KeyChange"]
