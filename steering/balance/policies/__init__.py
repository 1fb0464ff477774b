"""The steering policies: one file each, one line each in the table below."""

from steering.balance.policies.geo import GEO
from steering.balance.policies.off import OFF
from steering.balance.policies.policy import Candidate, Policy, Share
from steering.balance.policies.random import RANDOM

__all__ = ["POLICIES", "Candidate", "Policy", "Share"]

POLICIES: dict[str, Policy] = {
    "geo": GEO,
    "off": OFF,
    "random": RANDOM,
}
