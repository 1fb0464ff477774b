"""random: each pool that is up gets its weight's share of the answers."""

from steering.balance.policies.policy import Policy, choose_by_weight

RANDOM = Policy("random", by_place=False, in_order=False, choose=choose_by_weight, weighted=True)
