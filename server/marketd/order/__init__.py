"""Orders: placed in one transaction, led from payment to the courier's hands, and ended in one way when they go no
further (end.py).

Row locks are taken in one order everywhere, so nothing here deadlocks: accounts → sellers → couriers → deliveries →
quotes, carts → order_groups → payments → payment_attempts or refunds → orders (by id) → promo codes (by id) → stock (by
variant id) → media (by id) → jobs → the outbox's sequences. A step that needs only some of them takes these in the same
order; who an order belongs to never changes and is read before any lock. What ends an order locks its whole group
(`end.lock_whole`), because the group's payment asks for less then; several orders that end at once give their pieces
back together, since the stock's rows have one order too, and so with the uses of promo codes. PlaceOrder holds its
buyer's account and the shops against their end, and the buyer's cart, so that the orders of one buyer are placed one
after the other: a code for first orders relies on it. Its own rows are new, so nobody waits for them.
"""
