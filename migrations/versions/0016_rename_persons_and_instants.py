"""Give every person and every instant one spelling: user_id (buyer_id, owner_user_id, courier_user_id), accept_time.

Names alone change, in tables and in the JSON that repeats them. A server of the version before does not run on it;
nothing is released yet.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COLUMNS = (
    ("access_changes", "account_id", "user_id"),
    ("account_roles", "account_id", "user_id"),
    ("accounts", "account_id", "user_id"),
    ("addresses", "account_id", "user_id"),
    ("audit_entries", "account_id", "user_id"),
    ("carts", "account_id", "user_id"),
    ("courier_latest_positions", "received_time", "receive_time"),
    ("couriers", "account_id", "user_id"),
    ("deliveries", "assigned_time", "assign_time"),
    ("deliveries", "buyer_account_id", "buyer_id"),
    ("deliveries", "closed_time", "close_time"),
    ("deliveries", "offered_time", "offer_time"),
    ("deliveries", "picked_up_time", "pick_up_time"),
    ("deliveries", "seller_account_id", "owner_user_id"),
    ("handled_events", "handled_time", "handle_time"),
    ("order_groups", "account_id", "buyer_id"),
    ("orders", "accepted_time", "accept_time"),
    ("orders", "account_id", "buyer_id"),
    ("orders", "cancelled_time", "cancel_time"),
    ("orders", "courier_account_id", "courier_user_id"),
    ("orders", "delivered_time", "deliver_time"),
    ("orders", "expired_time", "expire_time"),
    ("orders", "paid_time", "pay_time"),
    ("orders", "refunded_time", "refund_time"),
    ("orders", "rejected_time", "reject_time"),
    ("orders", "seller_account_id", "owner_user_id"),
    ("outbox_events", "published_time", "publish_time"),
    ("password_resets", "account_id", "user_id"),
    ("payment_attempts", "account_id", "buyer_id"),
    ("payments", "account_id", "buyer_id"),
    ("payments", "captured_time", "capture_time"),
    ("quotes", "account_id", "user_id"),
    ("quotes", "used_time", "use_time"),
    ("recovery_codes", "account_id", "user_id"),
    ("sellers", "account_id", "owner_user_id"),
    ("sessions", "account_id", "user_id"),
    ("totp_factors", "account_id", "user_id"),
    ("verifications", "account_id", "user_id"),
)
INDEXES = (
    ("ix_account_roles_role_account_id", "ix_account_roles_role_user_id"),
    ("ix_accounts_state_account_id", "ix_accounts_state_user_id"),
    ("ix_addresses_account_id_address_id", "ix_addresses_user_id_address_id"),
    ("ix_audit_entries_account_id_create_time", "ix_audit_entries_user_id_create_time"),
    ("ix_deliveries_buyer_account_id_delivery_id", "ix_deliveries_buyer_id_delivery_id"),
    ("ix_deliveries_seller_account_id_delivery_id", "ix_deliveries_owner_user_id_delivery_id"),
    ("ix_handled_events_handled_time", "ix_handled_events_handle_time"),
    ("ix_orders_account_id_order_id", "ix_orders_buyer_id_order_id"),
    ("ix_orders_courier_account_id_order_id", "ix_orders_courier_user_id_order_id"),
    ("ix_outbox_events_published_time", "ix_outbox_events_publish_time"),
    ("ix_password_resets_account_id", "ix_password_resets_user_id"),
    ("uq_sellers_account_id", "uq_sellers_owner_user_id"),
    ("ix_sessions_account_id", "ix_sessions_user_id"),
)
CONSTRAINTS = (
    ("account_roles", "fk_account_roles_account_id", "fk_account_roles_user_id"),
    ("addresses", "fk_addresses_account_id", "fk_addresses_user_id"),
    ("carts", "uq_carts_account_id", "uq_carts_user_id"),
    ("couriers", "uq_couriers_account_id", "uq_couriers_user_id"),
    ("password_resets", "fk_password_resets_account_id", "fk_password_resets_user_id"),
    ("payment_attempts", "uq_payment_attempts_account_id_request_id", "uq_payment_attempts_buyer_id_request_id"),
    ("recovery_codes", "fk_recovery_codes_account_id", "fk_recovery_codes_user_id"),
    ("sessions", "fk_sessions_account_id", "fk_sessions_user_id"),
    ("totp_factors", "fk_totp_factors_account_id", "fk_totp_factors_user_id"),
    ("verifications", "fk_verifications_account_id", "fk_verifications_user_id"),
)
# What is read again stands in JSON under the names of the columns.
_ORDER = [(old, new) for table, old, new in COLUMNS if table == "orders"]
_DELIVERY = [(old, new) for table, old, new in COLUMNS if table == "deliveries"]
EVENT_KEYS = {
    "account": [("account_id", "user_id")],
    "courier": [("account_id", "user_id")],
    "delivery": [*_DELIVERY, ("courier_account_id", "courier_user_id")],
    "order": _ORDER,
    "seller": [("account_id", "owner_user_id")],
}


def upgrade() -> None:
    """The new names."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    for old, new in INDEXES:
        op.execute(f"ALTER INDEX {old} RENAME TO {new}")
    for table, old, new in CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}")
    for aggregate, names in EVENT_KEYS.items():
        _rename_keys("outbox_events", names, f"aggregate = '{aggregate}'")
    _rename_keys("quotes", [("seller_account_id", "owner_user_id")], "true")
    op.execute("UPDATE outbox_events SET aggregate = 'user' WHERE aggregate = 'account'")


def downgrade() -> None:
    """The old names again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("UPDATE outbox_events SET aggregate = 'account' WHERE aggregate = 'user'")
    _rename_keys("quotes", [("owner_user_id", "seller_account_id")], "true")
    for aggregate, names in EVENT_KEYS.items():
        _rename_keys("outbox_events", [(new, old) for old, new in names], f"aggregate = '{aggregate}'")
    for table, old, new in CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {new} TO {old}")
    for old, new in INDEXES:
        op.execute(f"ALTER INDEX {new} RENAME TO {old}")
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")


def _rename_keys(table: str, names: list[tuple[str, str]], which: str) -> None:
    payload = "payload::text"
    for old, new in names:
        payload = f"""replace({payload}, '"{old}":', '"{new}":')"""
    op.execute(f"UPDATE {table} SET payload = ({payload})::jsonb WHERE {which}")  # noqa: S608 - constants
