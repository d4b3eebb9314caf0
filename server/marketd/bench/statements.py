"""The floors' SQL: what each operation cannot do without, sent by bare asyncpg.

Reads go to the server's own rows. Writes go to tables of the floors' own in a schema `floor`, so that they neither
block the server's rows nor break its invariants; they hold copies of the same rows, or rows of the same width.
"""

from __future__ import annotations

# The whole product as one row; the shape in which Postgres hands it over cheapest.
PRODUCT = """
SELECT p.product_id, p.seller_id, p.slug, p.title, p.description, p.category_id, p.brand_id, p.tags, p.attributes,
  p.option_names, p.currency, p.price_minor, p.compare_at_price_minor, p.rating_count,
  p.rating_average_milli, p.rating_histogram, p.state, p.publish_time, p.version, p.create_time, p.update_time,
  ARRAY(SELECT ROW(v.variant_id, v.sku, v.options::text, v.price_minor, v.compare_at_price_minor,
      s.policy, s.on_hand - s.reserved, v.active, v.barcode, v.weight_grams, v.requires_shipping, v.position,
      v.version, v.create_time, v.update_time)
    FROM variants v LEFT JOIN stocks s ON s.variant_id = v.variant_id
    WHERE v.product_id = p.product_id AND v.delete_time IS NULL ORDER BY v.position) AS variants,
  ARRAY(SELECT ROW(i.image_id, i.position, i.media_id, i.url, i.alt_text, i.variant_ids::text[],
      (SELECT ROW(m.width, m.height, m.renditions::text) FROM media m WHERE m.media_id = i.media_id))
    FROM product_images i WHERE i.product_id = p.product_id ORDER BY i.position) AS images
FROM products p WHERE p.product_id = $1
"""

# The cart's lines with what is for sale under them, in one statement.
CART = """
SELECT c.cart_id, c.version, c.create_time, c.update_time, i.item_id, i.variant_id, i.quantity, i.price_minor,
  i.currency, i.create_time, i.update_time, p.product_id, p.seller_id, p.title, v.sku, v.options::text,
  v.price_minor, v.compare_at_price_minor, v.active, p.state, o.state, s.on_hand - s.reserved,
  (SELECT ROW(m.url, m.media_id, (SELECT e.renditions->0 FROM media e WHERE e.media_id = m.media_id)::text)
    FROM product_images m WHERE m.product_id = p.product_id ORDER BY m.position LIMIT 1)
FROM floor.carts c JOIN floor.cart_items i USING (cart_id) JOIN variants v USING (variant_id)
  JOIN products p ON p.product_id = v.product_id JOIN sellers o ON o.seller_id = p.seller_id
  JOIN stocks s ON s.variant_id = i.variant_id
WHERE c.user_id = $1 ORDER BY i.create_time
"""

# $1 account, $2 variant: the line grows by one piece at the variant's price, and the cart's version with it.
ADD_LINE = """
WITH cart AS (
  UPDATE floor.carts SET version = version + 1, update_time = now() WHERE user_id = $1 RETURNING cart_id
)
INSERT INTO floor.cart_items AS i
  (item_id, cart_id, variant_id, quantity, price_minor, currency, create_time, update_time)
SELECT uuidv7(), cart.cart_id, v.variant_id, 1, v.price_minor, p.currency, now(), now()
FROM cart, variants v JOIN products p USING (product_id) WHERE v.variant_id = $2 AND v.active
ON CONFLICT (cart_id, variant_id) DO UPDATE SET quantity = i.quantity % 900 + 1, update_time = excluded.update_time
RETURNING item_id
"""

# The token stays the same, so that one request can be repeated; the row is written all the same.
ROTATE = """
UPDATE floor.sessions s SET token_hash = s.token_hash, spend_times = ARRAY[now()], refresh_time = now()
FROM accounts a WHERE s.session_id = $1 AND s.revoke_time IS NULL AND a.user_id = s.user_id
RETURNING s.session_id, s.user_id, a.state, s.expire_time,
  ARRAY(SELECT r.role FROM account_roles r WHERE r.user_id = s.user_id)
"""

COPIES = """
DROP SCHEMA IF EXISTS floor CASCADE;
CREATE SCHEMA floor;
CREATE TABLE floor.carts (LIKE carts INCLUDING ALL);
CREATE TABLE floor.cart_items (LIKE cart_items INCLUDING ALL);
CREATE TABLE floor.stocks (LIKE stocks INCLUDING ALL);
CREATE TABLE floor.sessions (LIKE sessions INCLUDING ALL);
INSERT INTO floor.carts SELECT * FROM carts;
INSERT INTO floor.cart_items SELECT * FROM cart_items;
INSERT INTO floor.stocks SELECT * FROM stocks;
INSERT INTO floor.sessions SELECT * FROM sessions;
CREATE TABLE floor.quotes (quote_id uuid PRIMARY KEY, user_id uuid NOT NULL, payload jsonb NOT NULL,
  expire_time timestamptz NOT NULL, use_time timestamptz);
CREATE TABLE floor.order_groups (order_group_id uuid PRIMARY KEY, user_id uuid NOT NULL,
  quote_id uuid NOT NULL, payment_id uuid NOT NULL, total_minor bigint NOT NULL, currency text NOT NULL,
  create_time timestamptz NOT NULL);
CREATE TABLE floor.orders (order_id uuid PRIMARY KEY, order_number text NOT NULL UNIQUE, order_group_id uuid NOT NULL,
  user_id uuid NOT NULL, seller_id uuid NOT NULL, address jsonb NOT NULL, total_minor bigint NOT NULL,
  currency text NOT NULL, state text NOT NULL, create_time timestamptz NOT NULL);
CREATE INDEX ON floor.orders (order_group_id);
CREATE INDEX ON floor.orders (user_id, order_id);
CREATE INDEX ON floor.orders (seller_id, order_id);
CREATE TABLE floor.order_items (item_id uuid PRIMARY KEY, order_id uuid NOT NULL, variant_id uuid NOT NULL,
  title text NOT NULL, quantity integer NOT NULL, unit_price_minor bigint NOT NULL, UNIQUE (order_id, variant_id));
CREATE TABLE floor.payments (payment_id uuid PRIMARY KEY, order_group_id uuid NOT NULL UNIQUE,
  user_id uuid NOT NULL, provider text NOT NULL, state text NOT NULL, amount_minor bigint NOT NULL,
  create_time timestamptz NOT NULL);
CREATE TABLE floor.promo_codes (LIKE promo_codes INCLUDING ALL);
CREATE TABLE floor.promo_uses (LIKE promo_uses INCLUDING ALL);
CREATE TABLE floor.promo_redemptions (LIKE promo_redemptions INCLUDING ALL);
INSERT INTO floor.promo_codes SELECT * FROM promo_codes;
CREATE TABLE floor.outbox (event_id uuid PRIMARY KEY, aggregate_id uuid NOT NULL, seq bigint NOT NULL,
  event_type text NOT NULL, payload jsonb NOT NULL, occurred_time timestamptz NOT NULL, UNIQUE (aggregate_id, seq));
CREATE TABLE floor.jobs (job_id uuid PRIMARY KEY, kind text NOT NULL, payload jsonb NOT NULL,
  run_time timestamptz NOT NULL);
CREATE TABLE floor.answers (caller text, method text, request_id uuid, fingerprint bytea NOT NULL,
  answer bytea NOT NULL, expire_time timestamptz NOT NULL, PRIMARY KEY (caller, method, request_id));
CREATE TABLE floor.outbox_events (LIKE outbox_events INCLUDING ALL);
CREATE TABLE floor.handled_events (LIKE handled_events INCLUDING ALL);
CREATE TABLE floor.due_jobs (LIKE jobs INCLUDING ALL);
"""
"""Made anew for each run, when carts, sessions and stock stand as they will be measured."""

QUOTE = """
INSERT INTO floor.quotes (quote_id, user_id, payload, expire_time)
VALUES ($1, $2, $3::text::jsonb, now() + interval '1 day')
"""

# PlaceOrder, one statement for each table that it cannot leave alone, in the order in which a server must go.
PLACE_ORDER = (
    "UPDATE floor.quotes SET use_time = now() WHERE quote_id = $1 AND user_id = $2 AND expire_time > now()"
    " RETURNING payload",
    """
UPDATE floor.stocks s SET reserved = s.reserved + w.quantity, update_time = now()
FROM (SELECT o.variant_id, w.quantity FROM unnest($1::uuid[], $2::int[]) AS w(variant_id, quantity)
  JOIN floor.stocks o USING (variant_id) ORDER BY o.variant_id FOR UPDATE OF o) w
WHERE s.variant_id = w.variant_id AND s.on_hand - s.reserved >= w.quantity RETURNING s.variant_id
""",
    "INSERT INTO floor.order_groups VALUES ($1, $2, $3, $4, 12345, 'EUR', now())",
    """
INSERT INTO floor.orders SELECT o.order_id, o.order_id::text, $1, $2, o.seller_id, $5::text::jsonb, 12345, 'EUR',
  'PENDING_PAYMENT', now() FROM unnest($3::uuid[], $4::uuid[]) AS o(order_id, seller_id)
""",
    """
INSERT INTO floor.order_items SELECT uuidv7(), i.order_id, i.variant_id, 'A piece of furniture', 1, 4115
FROM unnest($1::uuid[], $2::uuid[]) AS i(order_id, variant_id)
""",
    "INSERT INTO floor.payments VALUES ($1, $2, $3, 'sandbox', 'PENDING', 12345, now())",
    # A line that is deleted could not be ordered again by the next call; writing it costs the same.
    "UPDATE floor.cart_items i SET update_time = now() FROM floor.carts c"
    " WHERE c.user_id = $1 AND i.cart_id = c.cart_id AND i.variant_id = ANY($2::uuid[])",
    "UPDATE floor.promo_codes SET usage_count = usage_count + 1 WHERE promo_code_id = $1 AND disable_time IS NULL"
    " AND (usage_limit IS NULL OR usage_count < usage_limit) RETURNING promo_code_id",
    "INSERT INTO floor.promo_uses AS u VALUES ($1, $2, 1)"
    " ON CONFLICT (promo_code_id, user_id) DO UPDATE SET count = u.count + 1",
    "INSERT INTO floor.promo_redemptions VALUES ($1, $2, $3, now())",
    """
INSERT INTO floor.outbox SELECT uuidv7(), e.order_id, 1, 'order.placed', $2::text::jsonb, now()
FROM unnest($1::uuid[]) AS e(order_id)
""",
    "INSERT INTO floor.jobs VALUES (uuidv7(), 'order.expire', $1::text::jsonb, now() + interval '30 minutes')",
    "INSERT INTO floor.answers"
    " VALUES ($1, 'PlaceOrder', $2, $3::text::bytea, $4::text::bytea, now() + interval '1 day')",
)

# The relay's work without a relay. $1 of FILL_EVENTS: how many, each of another order; the payload is as wide as real.
FILL_EVENTS = """
INSERT INTO floor.outbox_events (event_id, aggregate, aggregate_id, seq, event_type, version, payload, occurred_time)
SELECT uuidv7(), 'order', uuidv7(), 1, 'order.cancelled', 1, jsonb_build_object('text', repeat('x', 800)), now()
FROM generate_series(1, $1::int)
"""
CLAIM_EVENTS = (
    "SELECT event_id, aggregate_id, seq, event_type, payload FROM floor.outbox_events WHERE publish_time IS NULL"
    " ORDER BY position LIMIT 200"
)
HANDLE_EVENT = (
    "INSERT INTO floor.handled_events VALUES ('catalog.stock_came_back', $1, now())"
    " ON CONFLICT DO NOTHING RETURNING true",
    "SELECT delivery_id FROM deliveries WHERE order_id = $1 AND state <> 'CLOSED'",
)
MARK_EVENTS = "UPDATE floor.outbox_events SET publish_time = now() WHERE event_id = ANY($1::uuid[])"

# The runner's work without a runner: claimed with a lease, four at a time, as it claims for its free slots.
FILL_JOBS = """
INSERT INTO floor.due_jobs (job_id, kind, payload, run_time, max_attempts, create_time)
SELECT uuidv7(), 'order.expire', jsonb_build_object('order_group_id', uuidv7()), now(), 20, now()
FROM generate_series(1, $1::int)
"""
CLAIM_JOBS = """
UPDATE floor.due_jobs j SET run_time = now() + interval '30 s', attempts = attempts + 1
FROM (SELECT job_id FROM floor.due_jobs WHERE kind = 'order.expire' AND run_time <= now()
  ORDER BY run_time LIMIT 4 FOR UPDATE SKIP LOCKED) due
WHERE j.job_id = due.job_id RETURNING j.job_id, (j.payload->>'order_group_id')::uuid, j.payload
"""
RUN_JOB = (
    "DELETE FROM floor.due_jobs WHERE job_id = $1 RETURNING true",
    "SELECT order_group_id, buyer_id, currency FROM order_groups WHERE order_group_id = $1 FOR UPDATE",
)
