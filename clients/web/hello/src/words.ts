// Amounts, times and states in words.
import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { Money } from "../gen/google/type/money_pb.js";
import { DeliveryOutcome, DeliveryState } from "../gen/marketplace/delivery/v1/delivery_pb.js";
import { OrderState } from "../gen/marketplace/order/v1/order_pb.js";

export function amount(money: Money | undefined): string {
  if (money === undefined) return "";
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency: money.currencyCode });
  return format.format(Number(money.units) + money.nanos / 1e9);
}

export function clock(time: Timestamp): string {
  return timestampDate(time).toLocaleTimeString(undefined, { timeStyle: "short" });
}

/** A distance as somebody who waits would say it. */
export function distance(meters: number): string {
  return meters < 1000 ? `${Math.round(meters / 10) * 10} m` : `${(meters / 1000).toFixed(1)} km`;
}

export function optionsOf(options: Record<string, string>): string {
  return Object.values(options).join(", ");
}

const ORDER: Record<OrderState, string> = {
  [OrderState.UNSPECIFIED]: "Unknown",
  [OrderState.PENDING_PAYMENT]: "Waiting for payment",
  [OrderState.PAID]: "Paid",
  [OrderState.ACCEPTED]: "Accepted by the shop",
  [OrderState.READY]: "Ready for the courier",
  [OrderState.OUT_FOR_DELIVERY]: "On its way",
  [OrderState.DELIVERED]: "Delivered",
  [OrderState.CANCELLED]: "Cancelled",
  [OrderState.REJECTED]: "Rejected by the shop",
  [OrderState.EXPIRED]: "Expired unpaid",
  [OrderState.REFUNDED]: "Refunded",
};

const DELIVERY: Record<DeliveryState, string> = {
  [DeliveryState.UNSPECIFIED]: "Unknown",
  [DeliveryState.CREATED]: "Waiting for a courier",
  [DeliveryState.OFFERING]: "Offered to couriers",
  [DeliveryState.ASSIGNED]: "A courier is assigned",
  [DeliveryState.AT_PICKUP]: "The courier is at the shop",
  [DeliveryState.PICKED_UP]: "Picked up",
  [DeliveryState.AT_DROPOFF]: "The courier is at the door",
  [DeliveryState.CLOSED]: "Closed",
};

const OUTCOME: Record<DeliveryOutcome, string> = {
  [DeliveryOutcome.UNSPECIFIED]: "Closed",
  [DeliveryOutcome.DELIVERED]: "Delivered",
  [DeliveryOutcome.FAILED]: "Not delivered",
  [DeliveryOutcome.RETURNED]: "Returned to the shop",
  [DeliveryOutcome.CANCELLED]: "Cancelled",
};

// A newer server may name states that this page does not know.
export function orderState(state: OrderState): string {
  return ORDER[state] ?? `State ${state}`;
}

export function deliveryState(state: DeliveryState, outcome: DeliveryOutcome): string {
  return state === DeliveryState.CLOSED ? (OUTCOME[outcome] ?? "Closed") : (DELIVERY[state] ?? `State ${state}`);
}
