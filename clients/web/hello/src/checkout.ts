// From the cart to an order: where to, what it costs, and the order itself. Each is asked for by a person.
import type { QuoteOrderResponse } from "../gen/marketplace/cart/v1/cart_service_pb.js";
import type { OrderGroup } from "../gen/marketplace/order/v1/order_pb.js";
import { clearFailure, showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { button, el, part, say, whileBusy } from "./dom.js";
import { Intents, repeat } from "./repeat.js";
import { amount, clock } from "./words.js";

const WRITTEN = "";

export class Checkout {
  private readonly form = part("checkout", HTMLFormElement);
  private readonly saved = part("saved-address", HTMLSelectElement);
  private readonly written = part("written-address", HTMLFieldSetElement);
  private readonly quoted = part("quote", HTMLElement);
  private readonly box = part("checkout-failure", HTMLElement);
  private readonly intents = new Intents();

  /** onOrder: the order was placed; the cart is empty now. */
  constructor(
    private readonly clients: Clients,
    private readonly onOrder: (group: OrderGroup) => void,
  ) {
    this.saved.addEventListener("change", () => this.showWritten());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void whileBusy(this.form, () => this.quote());
    });
  }

  async load(): Promise<void> {
    try {
      const { addresses } = await repeat(() => this.clients.user.listAddresses({}));
      const options = addresses.map((address) => {
        const place = [...(address.postalAddress?.lines ?? []), address.postalAddress?.city ?? ""].join(", ");
        return el("option", { value: address.addressId }, address.label ? `${address.label}: ${place}` : place);
      });
      this.saved.replaceChildren(...options, el("option", { value: WRITTEN }, "Another address"));
      this.showWritten();
    } catch (error) {
      showFailure(this.box, error);
    }
  }

  /** The cart has changed: what was quoted is of no use. */
  reset(cartIsEmpty: boolean): void {
    clearFailure(this.box, this.form);
    this.quoted.replaceChildren();
    this.form.hidden = cartIsEmpty;
  }

  private showWritten(): void {
    this.written.hidden = this.saved.value !== WRITTEN;
  }

  private async quote(): Promise<void> {
    clearFailure(this.box, this.form);
    this.quoted.replaceChildren();
    try {
      const destination = this.destination();
      this.showQuote(await repeat(() => this.clients.cart.quoteOrder({ destination })));
    } catch (error) {
      showFailure(this.box, error, this.form);
    }
  }

  private destination() {
    if (this.saved.value !== WRITTEN) return { case: "addressId", value: this.saved.value } as const;
    const text = (id: string): string => part(id, HTMLInputElement).value.trim();
    const line = text("street");
    const point = { latitude: Number(text("latitude")), longitude: Number(text("longitude")) };
    const value = {
      recipient: text("recipient"),
      lines: line === "" ? [] : [line],
      city: text("city"),
      postalCode: text("postal-code"),
      ...(text("latitude") !== "" && text("longitude") !== "" ? { point } : {}),
    };
    return { case: "address", value } as const;
  }

  private showQuote(quote: QuoteOrderResponse): void {
    const rows = quote.packages.map((each) =>
      el("li", { class: "row" }, el("span", { class: "grow" }, each.shopName), el("span", {}, amount(each.total))),
    );
    const discounts = quote.discounts.map((each) =>
      el("li", { class: "row", "data-discount": each.promoCode }, el("span", { class: "grow" }, each.description), el("span", {}, `${amount(each.amount)} off`)),
    );
    const problems = quote.problems.map((problem) => el("li", { class: "problem" }, problem.message));
    const eta = quote.eta;
    const arrival =
      eta?.earliestTime !== undefined && eta.latestTime !== undefined
        ? ` Arrives between ${clock(eta.earliestTime)} and ${clock(eta.latestTime)}.`
        : "";
    const total = `${amount(quote.total)} in all, with ${amount(quote.deliveryFee)} for the delivery.${arrival}`;
    this.quoted.replaceChildren(el("ul", {}, ...rows, ...discounts, ...problems), el("p", { id: "total" }, total));
    if (quote.quoteToken === undefined) return;
    const place = button(`Order for ${amount(quote.total)}`, () => whileBusy(this.form, () => this.place(quote)), { id: "place" });
    this.quoted.append(place);
    setTimeout(() => place.focus());
  }

  private async place(quote: QuoteOrderResponse): Promise<void> {
    clearFailure(this.box, this.form);
    const quoteToken = quote.quoteToken ?? "";
    // The id belongs to the quote: pressing again after a failure asks for the same order, never for a second one.
    const requestId = this.intents.idOf(quoteToken);
    const expectedTotal = quote.total;
    try {
      const answer = await repeat(() =>
        this.clients.order.placeOrder({ quoteToken, requestId, ...(expectedTotal ? { expectedTotal } : {}) }),
      );
      if (answer.orderGroup !== undefined) this.onOrder(answer.orderGroup);
    } catch (error) {
      showFailure(this.box, error, this.form);
    }
  }
}

/** What the page tells of an order that was just placed. */
export function tellPlaced(group: OrderGroup): void {
  const numbers = group.orders.map((order) => order.orderNumber).join(", ");
  say(part("added", HTMLElement), `Ordered: ${numbers}. Now it wants to be paid.`);
}
