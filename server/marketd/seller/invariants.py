"""What must hold of sellers at any time: who sells can see to it (I13)."""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

INVARIANTS: Final = (
    # SuspendSeller does what blocking the owner, or taking the role, does by itself.
    Invariant(
        "I13",
        "who sells can act",
        "SELECT s.seller_id::text AS id, 'sells, and its owner is ' || COALESCE(a.state, 'missing')"
        "   || CASE WHEN r.user_id IS NULL THEN ' without the role' ELSE '' END AS wrong FROM sellers s"
        " LEFT JOIN accounts a ON a.user_id = s.owner_user_id"
        " LEFT JOIN account_roles r ON r.user_id = s.owner_user_id AND r.role = 'SELLER'"
        " WHERE s.state = 'ACTIVE' AND (a.state IS DISTINCT FROM 'ACTIVE' OR r.user_id IS NULL)",
    ),
)
