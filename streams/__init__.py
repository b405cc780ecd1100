"""Karar: service chains and moments of truth, live and exact."""
