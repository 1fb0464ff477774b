"""Zones: what waypost is authoritative for, from a zone file into the store that the workers read."""
