"""Zones: what waypost is authoritative for, from files, primaries and updates into the store that the workers read."""
