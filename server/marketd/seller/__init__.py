"""Sellers: who may sell, where couriers pick up, and how long a shop needs."""
