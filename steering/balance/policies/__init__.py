"""The steering policies: one file each, one line each in the table below."""

from steering.balance.policies.dynamic_latency import DYNAMIC_LATENCY
from steering.balance.policies.geo import GEO
from steering.balance.policies.hash import HASH
from steering.balance.policies.off import OFF
from steering.balance.policies.policy import NEGLIGIBLE, Candidate, Policy, Share
from steering.balance.policies.proximity import PROXIMITY
from steering.balance.policies.random import RANDOM

__all__ = ["NEGLIGIBLE", "POLICIES", "Candidate", "Policy", "Share"]

POLICIES: dict[str, Policy] = {
    "dynamic_latency": DYNAMIC_LATENCY,
    "geo": GEO,
    "hash": HASH,
    "off": OFF,
    "proximity": PROXIMITY,
    "random": RANDOM,
}
