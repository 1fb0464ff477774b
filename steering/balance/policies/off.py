"""off: the first pool that is up, in the order of `default_pools`."""

from steering.balance.policies.policy import Policy, choose_first_up

OFF = Policy("off", by_place=False, in_order=True, choose=choose_first_up)
