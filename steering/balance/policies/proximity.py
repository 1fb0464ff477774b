"""proximity: the pool that is up and nearest to the client.

By great circle from the client's coordinates, else from the centre of its country; of a client of whom not even that is
known, in the order of the list. The rules have ranked the pools already (steering/balance/rules.py).
"""

from steering.balance.policies.policy import Policy, choose_first_up

PROXIMITY = Policy("proximity", by_place=False, in_order=True, choose=choose_first_up, by_distance=True)
