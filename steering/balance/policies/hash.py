"""hash: each pool that is up gets its weight's share of the clients, and a client stays with its pool.

Clients are told apart by the /24 or /48 that they are in (steering/balance/rendezvous.py). A pool that goes down, or
gets less weight, moves only clients of its own.
"""

from steering.balance.policies.policy import Policy, choose_by_weight

HASH = Policy("hash", by_place=False, in_order=False, choose=choose_by_weight, weighted=True, by_key=True)
