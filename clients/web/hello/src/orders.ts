// The caller's newest orders: what waits for payment is paid here, and what is on its way is followed.
import { OrderState, type Order } from "../gen/marketplace/order/v1/order_pb.js";
import { clearFailure, showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { button, el, part, say, whileBusy } from "./dom.js";
import { Intents, repeat } from "./repeat.js";
import { amount, orderState } from "./words.js";

const SHOWN = 6;
const METHODS = { ok: "takes the money", decline: "is declined", action: "asks for an action" };

export class Orders {
  private readonly section = part("orders", HTMLElement);
  private readonly list = part("order-list", HTMLUListElement);
  private readonly none = part("no-orders", HTMLElement);
  private readonly box = part("orders-failure", HTMLElement);
  private readonly intents = new Intents();
  private orders: Order[] = [];

  constructor(
    private readonly clients: Clients,
    private readonly follow: (order: Order) => void,
  ) {}

  async load(): Promise<void> {
    try {
      this.orders = (await repeat(() => this.clients.order.listOrders({ pageSize: SHOWN }))).orders;
      this.show();
    } catch (error) {
      showFailure(this.box, error);
    }
  }

  clear(): void {
    clearFailure(this.box);
    this.orders = [];
    this.show();
  }

  /** The order as it is now. */
  put(order: Order): void {
    const index = this.orders.findIndex((each) => each.orderId === order.orderId);
    if (index < 0) this.orders.unshift(order);
    else if (this.orders[index]?.etag === order.etag) return;
    else this.orders[index] = order;
    this.show();
  }

  private show(): void {
    const focused = document.activeElement?.id ?? "";
    say(this.none, this.orders.length === 0 ? "No orders yet." : "");
    this.list.replaceChildren(...this.orders.slice(0, SHOWN).map((order) => this.row(order)));
    // The row that had the focus was made anew.
    if (focused.startsWith("order-")) document.getElementById(focused)?.focus();
  }

  private row(order: Order): HTMLLIElement {
    const what = el("span", { class: "grow" }, `${order.orderNumber} · ${order.shopName} · ${amount(order.total)}`);
    const state = el("span", { class: "state" }, orderState(order.state));
    const row = el("li", { class: "row", "data-order": order.orderId, "data-state": OrderState[order.state] }, what, state);
    if (order.state === OrderState.PENDING_PAYMENT) row.append(this.payment(order));
    else if (order.state <= OrderState.DELIVERED) {
      const follow = () => this.follow(order);
      row.append(button("Follow", follow, { id: `order-${order.orderId}`, "aria-label": `Follow order ${order.orderNumber}` }));
    }
    return row;
  }

  private payment(order: Order): HTMLElement {
    const method = el("select", { "aria-label": `How the sandbox answers for order ${order.orderNumber}` });
    method.append(...Object.entries(METHODS).map(([value, text]) => el("option", { value }, `Sandbox: ${text}`)));
    const pay = () => whileBusy(this.section, () => this.pay(order, method.value));
    const label = `Pay order ${order.orderNumber}`;
    return el("span", { class: "pay" }, method, button("Pay", pay, { id: `order-${order.orderId}`, "aria-label": label }));
  }

  private async pay(order: Order, sandbox: string): Promise<void> {
    clearFailure(this.box);
    const paymentId = order.paymentId ?? "";
    // One id for each way of paying for it, so that no press and no lost answer takes the money twice.
    const requestId = this.intents.idOf(`${paymentId} ${sandbox}`);
    const paymentMethod = { method: { case: "sandbox", value: sandbox } } as const;
    try {
      await repeat(() => this.clients.payment.confirmPayment({ paymentId, paymentMethod, requestId }));
    } catch (error) {
      showFailure(this.box, error);
      return;
    }
    say(part("added", HTMLElement), `Order ${order.orderNumber} is paid.`);
    await this.load();
    this.follow(this.orders.find((each) => each.orderId === order.orderId) ?? order);
  }
}
