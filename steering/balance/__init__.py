"""Balancing: from pools, health and a client's class to the records of an answer."""
