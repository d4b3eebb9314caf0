"""The tables of search. All of them follow from the catalog's, the stocks and the paid orders, and can be made anew.

Nothing here refers to products by a foreign key: whoever writes a document has locked its product.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from marketd.catalog.search import bands
from marketd.kernel.db.database import Base

SOLD_DAYS: Final = 30
"""Sales count for so many days."""
MAX_POPULARITY: Final = 100
LEAST_SAMPLE_KEY: Final = -(2**31)
SAMPLE_KEYS: Final = 2**32
"""Sample keys are spread over the numbers of four bytes."""
SAMPLED_PARTS: Final = (16, 32, 64, 128, 256, 512, 1024)
"""One document in so many is in an index of the words of a sample; the larger ones hold the smaller ones."""


def _bound(parts: int) -> int:
    return LEAST_SAMPLE_KEY + SAMPLE_KEYS // parts


def _below(parts: int) -> str:
    return f"sample_key < {_bound(parts)}"


def sampled_sql(parts: int) -> str:
    """SQL: whether `d` is in the sample of one in so many documents.

    Written out, since a partial index is used only where the statement says that it holds.
    """
    return f"d.{_below(parts)}"


def sampled_alone_sql(parts: int) -> str:
    """The same where no words are asked for: as a condition that the index of the sample's order serves.

    That order is of another type, so it is not taken beside an index of words, which needs no help.
    """
    return f"d.{_below(SAMPLED_PARTS[0])} AND d.sample_key::bigint < {_bound(parts)}"


def fitting_sample(documents: float, most: int) -> int:
    """The part of the largest sample in which at most about so many of that many documents are; else the smallest."""
    return next((parts for parts in SAMPLED_PARTS if documents / parts <= most), SAMPLED_PARTS[-1])


def _fronts() -> tuple[Index, ...]:
    return tuple(
        Index(
            f"ix_search_documents_front_{front}",
            "words",
            # Of the largest it is cheaper to look at half of what is found in vain than at the entries of the bands.
            *(() if front == bands.FRONTS[0] else ("bands",)),
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "512"},
            postgresql_where=text(bands.front_sql(front)),
        )
        for front in bands.FRONTS
    )


def _samples() -> tuple[Index, ...]:
    return tuple(
        Index(
            f"ix_search_documents_sample_{parts}",
            "words",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "512"},
            postgresql_where=text(_below(parts)),
        )
        for parts in SAMPLED_PARTS
    )


class SearchDocumentTable(Base):
    """What search reads of a product: one row a published product, of whichever seller.

    Whether the seller sells is asked at query time, so a suspended shop vanishes at once without a row rewritten.

    `words` holds every lexeme that leads to the product, for matching. `head_words` holds only what the product is
    called, for ranking: it is short, so it stands in the row itself, while long `words` are fetched from elsewhere.
    Both have each word as written and as the language's configuration reduces it, at the same position: weight A title,
    B brand and codes, C categories and tags (in `words` also options and attributes), D description.

    codes: SKUs and barcodes as texts.py spells codes. category_path: the category's, from the top down.
    attribute_keys: a number a pair of name and value of attributes and options; search_attributes has their texts.
    popularity: 0..100, see standing.py. sample_key: spread evenly and independent of all else, so the first documents
    in its order are a fair sample. bands: see bands.py; the fronts have indexes of their own, so that the few
    documents of a band that have a word are found without a look at the many that have it. Samples have indexes of
    their words apart, from which facets of words that very many have are counted.
    """

    __tablename__ = "search_documents"
    __table_args__ = (
        Index(
            "ix_search_documents_words",
            "words",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "512"},
        ),
        *_fronts(),
        *_samples(),
        Index("ix_search_documents_codes", "codes", postgresql_using="gin"),
        Index("ix_search_documents_attribute_keys", "attribute_keys", postgresql_using="gin"),
        Index("ix_search_documents_category_path", "category_path", postgresql_using="gin"),
        Index("ix_search_documents_popular", "in_stock", "popularity", "product_id"),
        Index("ix_search_documents_price", "price_minor", "product_id"),
        Index("ix_search_documents_rating", "rating_average_milli", "product_id"),
        Index("ix_search_documents_newest", "publish_time", "product_id"),
        Index("ix_search_documents_brand", "brand_id", "in_stock", "popularity", "product_id"),
        Index("ix_search_documents_seller", "seller_id", "in_stock", "popularity", "product_id"),
        Index("ix_search_documents_title", "title_key"),
        Index(
            "ix_search_documents_sampled",
            text("(sample_key::bigint)"),
            postgresql_where=text(_below(SAMPLED_PARTS[0])),
        ),
        CheckConstraint(f"popularity BETWEEN 0 AND {MAX_POPULARITY}", name="popularity"),
    )

    product_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    brand_id: Mapped[UUID | None] = mapped_column(Uuid)
    publish_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    price_minor: Mapped[int] = mapped_column(BigInteger)
    sample_key: Mapped[int] = mapped_column(Integer)
    sold_30d: Mapped[int] = mapped_column(Integer)
    rating_count: Mapped[int] = mapped_column(Integer)
    rating_average_milli: Mapped[int] = mapped_column(Integer)
    popularity: Mapped[int] = mapped_column(SmallInteger)
    in_stock: Mapped[bool] = mapped_column(Boolean)
    category_path: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    attribute_keys: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    codes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    title_key: Mapped[str] = mapped_column(Text(collation="C"))
    bands: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), Computed(bands.BANDS_SQL, persisted=True))
    head_words: Mapped[str] = mapped_column(TSVECTOR)
    words: Mapped[str] = mapped_column(TSVECTOR)


class SearchAttributeTable(Base):
    """A pair of name and value that a product has or had, as it is shown: the first spelling of it that came."""

    __tablename__ = "search_attributes"

    attribute_key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)


class SearchWordTable(Base):
    """In how many documents a lexeme stands. `written`: people write it so; the others are only what a word is reduced
    to. The row of the empty word says how many documents there are.

    Trigrams serve corrections: a word with digits is a code or a number, and not a word that somebody misspelt.
    """

    __tablename__ = "search_words"
    __table_args__ = (
        Index(
            "ix_search_words_trigrams",
            "word",
            postgresql_using="gin",
            postgresql_ops={"word": "gin_trgm_ops"},
            postgresql_where=text("written AND word ~ '^[^0-9]+$'"),
        ),
        CheckConstraint("documents > 0", name="documents"),
        # Counts change all the time, and room in the page keeps their indexes out of it.
        {"postgresql_with": {"fillfactor": "80"}},
    )

    # In the order of its bytes the primary key also finds prefixes.
    word: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    documents: Mapped[int] = mapped_column(Integer)
    written: Mapped[bool] = mapped_column(Boolean)


class SearchWordChangeTable(Base):
    """What a written document means for the counts, until words.py has counted it: counts are rows that every writer
    would wait for.

    added, removed: lexemes. written: those of the added that people write so.
    """

    __tablename__ = "search_word_changes"

    change_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    added: Mapped[list[str]] = mapped_column(ARRAY(Text))
    removed: Mapped[list[str]] = mapped_column(ARRAY(Text))
    written: Mapped[list[str]] = mapped_column(ARRAY(Text))


class SearchPendingTable(Base):
    """A product whose document is to be written anew. A product may stand here often; nobody waits for another's row.

    standing_only: only its stock, sales, ratings and prices have changed.
    """

    __tablename__ = "search_pending"

    pending_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    product_id: Mapped[UUID] = mapped_column(Uuid)
    standing_only: Mapped[bool] = mapped_column(Boolean)


class SearchSpreadTable(Base):
    """A brand or category whose name or place has changed, so that all of its products are to be written anew.

    after_time, after_product_id: the creation and the id of the last of them that is noted as pending already.
    """

    __tablename__ = "search_spreads"
    __table_args__ = (CheckConstraint("num_nonnulls(brand_id, category_id) = 1", name="one_thing"),)

    spread_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    brand_id: Mapped[UUID | None] = mapped_column(Uuid)
    category_id: Mapped[UUID | None] = mapped_column(Uuid)
    after_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    after_product_id: Mapped[UUID | None] = mapped_column(Uuid)


class SearchSaleTable(Base):
    """How many pieces of a product were paid for on a day (UTC), less what was cancelled of them since."""

    __tablename__ = "search_sales"
    __table_args__ = (Index("ix_search_sales_day", "day"),)

    product_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    sold: Mapped[int] = mapped_column(Integer)


class SearchStateTable(Base):
    """One row: which language documents are written in, and how far a rebuild is.

    language: a text search configuration of PostgreSQL. rebuild_after: the product after which the rebuild goes on;
    absent while none runs.
    """

    __tablename__ = "search_state"
    __table_args__ = (CheckConstraint("one", name="one"),)

    one: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=text("true"))
    language: Mapped[str] = mapped_column(Text)
    rebuild_after: Mapped[UUID | None] = mapped_column(Uuid)
