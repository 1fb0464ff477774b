"""geo: the pools of the client's place, and the first of them that is up.

A list never spills into the list of another place: when all of it is down, the fallback pool answers.
"""

from steering.balance.policies.policy import Policy, choose_first_up

GEO = Policy("geo", by_place=True, in_order=True, choose=choose_first_up)
