"""random: each pool that is up gets its weight's share of the answers."""

from collections.abc import Sequence

from steering.balance.policies.policy import Candidate, Policy, Share


def choose_by_weight(candidates: Sequence[Candidate]) -> tuple[Share, ...]:
    """Pools that are down leave their share to the others; weight 0 gets nothing."""
    return tuple(
        Share(candidate.name, candidate.weight) for candidate in candidates if candidate.up and candidate.weight > 0
    )


RANDOM = Policy("random", by_place=False, in_order=False, choose=choose_by_weight)
