"""Receipts as messages."""

from __future__ import annotations

from google.type.money_pb2 import Money as MoneyMessage
from marketplace.order.v1 import receipt_pb2

from marketd.kernel.wire import to_address, to_money, to_percent, to_timestamp
from marketd.order.access import ON_A_PARCEL
from marketd.order.convert import to_promotions
from marketd.order.receipts.render import RenderedReceipt
from marketd.order.receipts.values import Receipt, ReceiptLine, ReceiptTax


def to_receipt(receipt: Receipt, rendered: RenderedReceipt) -> receipt_pb2.Receipt:
    """marketplace.order.v1.Receipt."""
    order = receipt.order

    def money(amount_minor: int) -> MoneyMessage:
        return to_money(order.money(amount_minor))

    return receipt_pb2.Receipt(
        order_number=order.order_number,
        order_id=str(order.order_id),
        shop_name=order.shop_name,
        issue_time=None if order.pay_time is None else to_timestamp(order.pay_time),
        update_time=to_timestamp(order.update_time),
        buyer_address=None if order.address is None else to_address(order.address.part(*ON_A_PARCEL)),
        lines=[_line(receipt, line) for line in receipt.lines],
        subtotal=money(receipt.subtotal_minor),
        discount_amount=money(receipt.discount_amount_minor),
        delivery_fee=money(receipt.delivery_fee_minor),
        delivery_discount_amount=money(receipt.delivery_discount_amount_minor),
        promotions=to_promotions(order.standing_discounts, order.currency),
        total=money(receipt.total_minor),
        taxes=[_tax(receipt, tax) for tax in receipt.taxes],
        tax_amount=money(receipt.tax_amount_minor),
        cancelled_amount=money(receipt.cancelled_amount_minor),
        paid_amount=money(order.due_minor),
        refunded_amount=money(order.refunded_amount_minor),
        text=rendered.text,
        html=rendered.html,
    )


def _line(receipt: Receipt, line: ReceiptLine) -> receipt_pb2.ReceiptLine:
    money, item = receipt.order.money, line.item
    return receipt_pb2.ReceiptLine(
        item_id=str(item.item_id),
        title=item.title,
        sku=item.sku or None,
        options=item.options,
        quantity=line.quantity,
        cancelled_quantity=line.cancelled_quantity,
        unit_price=to_money(money(item.unit_price_minor)),
        discount_amount=to_money(money(line.discount_amount_minor)),
        total=to_money(money(line.total_minor)),
        tax_rate=to_percent(item.tax_rate),
        tax_amount=to_money(money(line.tax_amount_minor)),
    )


def _tax(receipt: Receipt, tax: ReceiptTax) -> receipt_pb2.ReceiptTax:
    money = receipt.order.money
    return receipt_pb2.ReceiptTax(
        rate=to_percent(tax.rate),
        net_amount=to_money(money(tax.net_amount_minor)),
        tax_amount=to_money(money(tax.tax_amount_minor)),
        gross_amount=to_money(money(tax.gross_amount_minor)),
    )
