"""What must always hold of deliveries and their orders (I12), and of who brings them (I13)."""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

# ruff: noqa: S608 - the one interpolated part is the constant here
_OVER: Final = "'DELIVERED', 'CANCELLED', 'REJECTED', 'EXPIRED', 'REFUNDED'"
# Orders and what media are held by are read here and nowhere else in this slice: that they agree is the invariant.
INVARIANTS: Final = (
    Invariant(
        "I12",
        "one open delivery an order",
        "SELECT order_id::text AS id, count(*) || ' open deliveries' AS wrong FROM deliveries WHERE state <> 'CLOSED'"
        " GROUP BY order_id HAVING count(*) > 1",
    ),
    Invariant(
        "I12",
        "a picked-up delivery's order is out for delivery",
        "SELECT d.delivery_id::text AS id, d.state || ' but its order is ' || coalesce(o.state, 'missing') AS wrong"
        " FROM deliveries d LEFT JOIN orders o USING (order_id)"
        " WHERE d.state IN ('PICKED_UP', 'AT_DROPOFF') AND o.state IS DISTINCT FROM 'OUT_FOR_DELIVERY'",
    ),
    Invariant(
        "I12",
        "a delivered delivery's order is delivered",
        "SELECT d.delivery_id::text AS id, 'delivered but its order is ' || coalesce(o.state, 'missing') AS wrong"
        " FROM deliveries d LEFT JOIN orders o USING (order_id)"
        " WHERE d.outcome = 'DELIVERED' AND (o.state IS NULL OR o.state NOT IN ('DELIVERED', 'REFUNDED'))",
    ),
    Invariant(
        "I12",
        "an order on its way has a delivery on its way",
        "SELECT o.order_id::text AS id, 'out for delivery without a picked-up delivery' AS wrong FROM orders o"
        " WHERE o.state = 'OUT_FOR_DELIVERY' AND NOT EXISTS (SELECT 1 FROM deliveries d"
        " WHERE d.order_id = o.order_id AND d.state IN ('PICKED_UP', 'AT_DROPOFF'))",
    ),
    Invariant(
        "I12",
        "an order that is over has no open delivery",
        "SELECT d.delivery_id::text AS id, d.state || ' but its order is ' || o.state AS wrong"
        f" FROM deliveries d JOIN orders o USING (order_id) WHERE d.state <> 'CLOSED' AND o.state IN ({_OVER})"
        # What waits in the courier's hands or at the seller's is closed by the order's event.
        " AND NOT EXISTS (SELECT 1 FROM outbox_events e WHERE e.aggregate_id = o.order_id AND e.publish_time IS NULL)",
    ),
    Invariant(
        "I12",
        "the order of a delivery that ended elsewhere is over",
        "SELECT d.delivery_id::text AS id, d.outcome || ' but its order is ' || coalesce(o.state, 'missing') AS wrong"
        " FROM deliveries d LEFT JOIN orders o USING (order_id) WHERE d.outcome <> 'DELIVERED'"
        f" AND (o.state IS NULL OR o.state NOT IN ({_OVER}))",
    ),
    # What of it was to be sent may be cancelled by then; an order that was never to be sent has no address.
    Invariant(
        "I12",
        "nothing is brought that needs no shipping",
        "SELECT d.delivery_id::text AS id, d.state || ' although nothing of its order is sent' AS wrong"
        " FROM deliveries d JOIN orders o USING (order_id) WHERE o.address IS NULL",
    ),
    Invariant(
        "I12",
        "an order names its open delivery and who brings it",
        "SELECT o.order_id::text AS id, 'names delivery ' || coalesce(o.delivery_id::text, 'none') || ' and courier '"
        " || coalesce(o.courier_id::text, 'none') || ' and not those of ' || d.delivery_id AS wrong"
        " FROM deliveries d JOIN orders o USING (order_id)"
        f" WHERE d.state <> 'CLOSED' AND o.state NOT IN ({_OVER})"
        " AND (o.delivery_id IS DISTINCT FROM d.delivery_id OR o.courier_id IS DISTINCT FROM d.courier_id)",
    ),
    Invariant(
        "I12",
        "what is not picked up is brought by somebody on shift",
        "SELECT d.delivery_id::text AS id, 'its courier is off shift' AS wrong FROM deliveries d"
        " WHERE d.state IN ('ASSIGNED', 'AT_PICKUP') AND NOT EXISTS (SELECT 1 FROM shifts s"
        " WHERE s.courier_id = d.courier_id AND s.end_time IS NULL)",
    ),
    Invariant(
        "I12",
        # The shift may be over: of who is suspended, and of who is reinstated with goods in hands.
        "who has a delivery is a courier still",
        "SELECT d.delivery_id::text AS id, 'its courier is ' || c.state AS wrong"
        " FROM deliveries d JOIN couriers c USING (courier_id)"
        " WHERE d.state <> 'CLOSED' AND c.state NOT IN ('ACTIVE', 'SUSPENDED')",
    ),
    Invariant(
        "I12",
        "who is on shift is active",
        "SELECT s.shift_id::text AS id, 'runs though its courier is ' || c.state AS wrong FROM shifts s"
        " JOIN couriers c USING (courier_id) WHERE s.end_time IS NULL AND c.state <> 'ACTIVE'",
    ),
    Invariant(
        "I12",
        "a courier has counted what was completed",
        "SELECT c.courier_id::text AS id, c.completed_deliveries || ' counted, ' || n.made || ' made' AS wrong"
        " FROM couriers c CROSS JOIN LATERAL (SELECT count(*) AS made FROM deliveries d"
        " WHERE d.courier_id = c.courier_id AND d.outcome = 'DELIVERED') n WHERE c.completed_deliveries <> n.made",
    ),
    Invariant(
        "I12",
        "what proves a delivery is held by it",
        "SELECT coalesce(d.delivery_id, h.holder_id)::text AS id, CASE WHEN h.holder_id IS NULL"
        "   THEN 'shows a picture that it does not hold' ELSE 'holds a picture that it does not show' END AS wrong"
        " FROM (SELECT delivery_id, unnest(proof_media_ids) AS media_id FROM deliveries) d FULL JOIN"
        "   (SELECT holder_id, media_id FROM media_holds WHERE holder_kind = 'DELIVERY') h"
        "   ON h.holder_id = d.delivery_id AND h.media_id = d.media_id"
        " WHERE h.holder_id IS NULL OR d.delivery_id IS NULL",
    ),
    # SuspendCourier does what blocking the account, or taking the role, does by itself.
    Invariant(
        "I13",
        "who brings orders can act",
        "SELECT c.courier_id::text AS id, 'is active, and the account is ' || COALESCE(a.state, 'missing')"
        "   || CASE WHEN r.user_id IS NULL THEN ' without the role' ELSE '' END AS wrong FROM couriers c"
        " LEFT JOIN accounts a USING (user_id) LEFT JOIN account_roles r ON r.user_id = c.user_id"
        "   AND r.role = 'COURIER'"
        " WHERE c.state = 'ACTIVE' AND (a.state IS DISTINCT FROM 'ACTIVE' OR r.user_id IS NULL)",
    ),
)
