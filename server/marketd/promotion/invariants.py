"""What must hold of promo codes at any time: what is counted is what was used, and no limit was passed (I16)."""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

INVARIANTS: Final = (
    Invariant(
        "I16",
        "a code's uses are its redemptions that stand",
        "SELECT c.promo_code_id::text AS id, 'counts ' || c.usage_count || ' uses and has ' || count(r.*) AS wrong"
        " FROM promo_codes c LEFT JOIN promo_redemptions r"
        "   ON r.promo_code_id = c.promo_code_id AND r.give_back_time IS NULL"
        " GROUP BY c.promo_code_id HAVING c.usage_count <> count(r.*)",
    ),
    Invariant(
        "I16",
        "an account's uses are its redemptions that stand",
        "SELECT COALESCE(u.promo_code_id, r.promo_code_id) || ' of ' || COALESCE(u.user_id, r.user_id) AS id,"
        " 'counts ' || COALESCE(u.count, 0) || ' uses and has ' || COALESCE(r.uses, 0) AS wrong"
        " FROM promo_uses u FULL JOIN (SELECT promo_code_id, user_id, count(*) AS uses FROM promo_redemptions"
        "   WHERE give_back_time IS NULL GROUP BY 1, 2) r USING (promo_code_id, user_id)"
        " WHERE COALESCE(u.count, 0) <> COALESCE(r.uses, 0)",
    ),
    # A ceiling is the limit, or what was used already when the limit was lowered below it.
    Invariant(
        "I16",
        "a code is not used more often than it may be",
        "SELECT promo_code_id::text AS id, 'was used ' || usage_count || ' times of ' || usage_ceiling AS wrong"
        " FROM promo_codes WHERE usage_count > usage_ceiling",
    ),
    Invariant(
        "I16",
        "an account uses a code no more often than it may",
        "SELECT u.promo_code_id || ' of ' || u.user_id AS id,"
        " 'was used ' || u.count || ' times of ' || c.per_user_ceiling AS wrong"
        " FROM promo_uses u JOIN promo_codes c USING (promo_code_id) WHERE u.count > c.per_user_ceiling",
    ),
)
