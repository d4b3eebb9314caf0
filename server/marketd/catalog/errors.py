"""The refusals of the catalog."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import FieldViolation, IllegalTransition, Refusal


class ImportFileInvalid(Refusal):
    """The file cannot be imported at all because of this row (the header is row 1)."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.IMPORT_ROW_INVALID

    def __init__(self, row: int, column: str, description: str) -> None:
        super().__init__(
            f"Row {row}{f', column {column}' if column else ''}: {description}",
            metadata={"row": str(row), "column": column},
            fields=(FieldViolation("csv", f"row {row}: {description}"),),
        )
        self.row = row
        self.column = column


class ImportRowsInvalid(Refusal):
    """Rows of the file cannot be imported, and it was to come in whole or not at all.

    row, column (or ""), description: the first of them; named: some of them, as texts. rows: how many there are, with
    those that only go down with another of their product.
    """

    code = Code.INVALID_ARGUMENT
    reason = Reason.IMPORT_ROW_INVALID

    def __init__(self, rows: int, row: int, column: str, description: str, named: Sequence[str]) -> None:
        super().__init__(
            f"Row {row}{f', column {column}' if column else ''}: {description}. Rows that cannot be imported: {rows};"
            " nothing was changed.",
            metadata={"row": str(row), "column": column},
            fields=[FieldViolation("csv", one) for one in named],
        )
        self.rows = rows


class NothingToSell(IllegalTransition):
    """Nobody could buy anything of the product; `missing` says what it would take."""

    def __init__(self, state: str, missing: str) -> None:
        super().__init__("product", state, (), f"The product {missing}, and publish it then.")


class LastVariant(IllegalTransition):
    """The published product would have nothing left to buy."""

    def __init__(self) -> None:
        super().__init__(
            "product",
            "PUBLISHED",
            ("ARCHIVED",),
            "This is the last variant of a published product that can be bought; archive the product, or give it"
            " another active variant with a price first.",
        )


class UploadCorrupt(Refusal):
    """The file that arrived is not the one that was announced; nothing was changed."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.MEDIA_CORRUPT

    def __init__(self, description: str) -> None:
        super().__init__(f"The file is not whole: {description}. Nothing was changed; send it again.")


class UploadTooLarge(Refusal):
    """The file is larger than this server takes."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.MEDIA_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"A file may have at most {limit} bytes; split it into several.", metadata={"limit": str(limit)}
        )


class UploadOutOfOrder(Refusal):
    """The options did not come first, or came twice."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.MALFORMED_REQUEST

    def __init__(self) -> None:
        super().__init__("Send the options once, in the first message, and then only chunks.")
