"""Promo codes: what they take off a cart, who pays for it, and how often they may be used.

discounts.py is the arithmetic, without a database. Limits hold because a use is counted by a conditional update in the
transaction of the order that has it (repository/uses.py).
"""
