"""Keep a shop's preparation time as a span, and its opening hours as times of day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Minutes become an interval; minutes after midnight become hours and minutes."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_constraint(op.f("ck_sellers_prep_minutes"), "sellers", type_="check")
    op.execute("ALTER TABLE sellers RENAME COLUMN prep_minutes TO prep_duration")
    op.alter_column(
        "sellers",
        "prep_duration",
        type_=sa.Interval(),
        existing_nullable=False,
        postgresql_using="make_interval(mins => prep_duration)",
    )
    op.create_check_constraint(
        op.f("ck_sellers_prep_duration"), "sellers", "prep_duration BETWEEN interval '0' AND interval '24 hours'"
    )
    op.execute(
        "UPDATE sellers SET opening_hours = (SELECT jsonb_agg(jsonb_build_object('day', span -> 'day',"
        " 'open_time', jsonb_build_object('hours', (span ->> 'open_minute')::int / 60,"
        " 'minutes', (span ->> 'open_minute')::int % 60),"
        " 'close_time', jsonb_build_object('hours', (span ->> 'close_minute')::int / 60,"
        " 'minutes', (span ->> 'close_minute')::int % 60)) ORDER BY number)"
        " FROM jsonb_array_elements(opening_hours) WITH ORDINALITY AS spans (span, number))"
        " WHERE jsonb_array_length(opening_hours) > 0"
    )


def downgrade() -> None:
    """The other way; parts of a minute are lost."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute(
        "UPDATE sellers SET opening_hours = (SELECT jsonb_agg(jsonb_build_object('day', span -> 'day',"
        " 'open_minute', (span #>> '{open_time,hours}')::int * 60 + (span #>> '{open_time,minutes}')::int,"
        " 'close_minute', (span #>> '{close_time,hours}')::int * 60 + (span #>> '{close_time,minutes}')::int)"
        " ORDER BY number)"
        " FROM jsonb_array_elements(opening_hours) WITH ORDINALITY AS spans (span, number))"
        " WHERE jsonb_array_length(opening_hours) > 0"
    )
    op.drop_constraint(op.f("ck_sellers_prep_duration"), "sellers", type_="check")
    op.alter_column(
        "sellers",
        "prep_duration",
        type_=sa.Integer(),
        existing_nullable=False,
        postgresql_using="(extract(epoch FROM prep_duration) / 60)::int",
    )
    op.execute("ALTER TABLE sellers RENAME COLUMN prep_duration TO prep_minutes")
    op.create_check_constraint(op.f("ck_sellers_prep_minutes"), "sellers", "prep_minutes BETWEEN 0 AND 1440")
