"""Delivery: couriers, their shifts, and what they bring from a seller to a buyer.

A delivery is made when its order becomes READY and ends with the order. Rows are locked in one order everywhere:
courier, then delivery, then order, then the outbox's counters.
"""
