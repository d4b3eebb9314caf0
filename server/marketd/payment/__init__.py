"""Payments: money taken for order groups and given back, through a provider behind a port.

Provider calls happen outside of transactions, under keys that were written down before, so a crash between
an effect and its answer is found again. Rows are locked in the order that order/__init__ states.
"""
