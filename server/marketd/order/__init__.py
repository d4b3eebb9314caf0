"""Orders: placed in one transaction, led from payment to the courier's hands.

Row locks are taken in one order everywhere, so nothing here deadlocks: accounts → sellers → couriers → deliveries →
quotes, carts → order_groups → payments → payment_attempts or refunds → orders (by id) → stock (by variant id) → the
outbox's sequences. A step that needs only some of them takes these in the same order; what never changes, such as whose
an order is, is read before any lock. PlaceOrder holds its buyer's account and the shops against their end; its own rows
are new, so nobody waits for them.
"""
