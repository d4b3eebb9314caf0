"""Orders: placed in one transaction, led from payment to the courier's hands.

Row locks are taken in one order everywhere, so nothing here deadlocks: order_groups → payments → payment_attempts or
refunds → orders (by id) → stock (by variant id) → the outbox's sequences. A step that needs only some of them takes
these in the same order. PlaceOrder holds its quote and its buyer's cart before all of them; its own rows are new, so
nobody waits for them.
"""
