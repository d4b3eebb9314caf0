"""Delivery: couriers, their shifts, and what they bring from a seller to a buyer.

A delivery is made when its order becomes READY, and neither of the two outlives the other. Rows are locked in one order
everywhere: the courier's account, the courier, deliveries by id, then what order/__init__ says, the outbox's counters
last.
"""
