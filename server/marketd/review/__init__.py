"""Reviews: what buyers think of what they got, and the sums of their ratings.

Row locks are taken in one order everywhere: the author's account (held) → reviews (by id) → rating_summaries → the copy
of the sum, which is a product with its search document, a shop's row in seller_ratings, or a courier → media (by id) →
the outbox's sequences. A change locks one review, one sum and one copy. Orders are read and not locked: what was
delivered stays so. Nothing that PlaceOrder locks is locked here but the author's account, which both only hold; a
shop's rating has a row of its own, so that many reviews of a shop do not keep anybody from ordering there.
"""
