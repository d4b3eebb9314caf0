"""What must hold of media at any time: they have their files, stay while they are held, and are counted (I14)."""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

INVARIANTS: Final = (
    Invariant(
        "I14",
        "media have their files",
        "SELECT 'media ' || m.media_id AS id, 'names ' || (r->>'file') || ', which is no file of it' AS wrong"
        " FROM media m CROSS JOIN jsonb_array_elements(m.renditions) AS r"
        " WHERE NOT EXISTS (SELECT FROM media_file_uses u JOIN media_files f ON f.name = u.name"
        "   WHERE u.media_id = m.media_id AND u.name = r->>'file' AND f.remove_time IS NULL)",
    ),
    Invariant(
        "I14",
        "a media is unheld when nothing holds it",
        "SELECT 'media ' || m.media_id AS id, CASE WHEN m.unheld_time IS NULL THEN 'is held by nothing and kept'"
        "   ELSE 'is held and would be removed' END AS wrong FROM media m"
        " WHERE (m.unheld_time IS NULL) <> EXISTS (SELECT FROM media_holds h WHERE h.media_id = m.media_id)",
    ),
    Invariant(
        "I14",
        "an account's media take what is counted",
        "SELECT 'account ' || owner_user_id AS id,"
        "   'has ' || coalesce(o.used_size, 0) || ' bytes counted and ' || coalesce(m.kept, 0) || ' kept' AS wrong"
        " FROM media_owners o FULL JOIN"
        "   (SELECT owner_user_id, sum(kept_size) AS kept FROM media GROUP BY owner_user_id) AS m USING (owner_user_id)"
        " WHERE coalesce(o.used_size, 0) <> coalesce(m.kept, 0)",
    ),
)
