// Promo codes: which are on the cart, what they take off or why they do not, and a field for another one.
import type { AppliedPromoCode, Cart } from "../gen/marketplace/cart/v1/cart_pb.js";
import { clearFailure, showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { button, el, part, whileBusy } from "./dom.js";
import { newId, repeat } from "./repeat.js";
import { amount } from "./words.js";

export class PromoView {
  private readonly form = part("promo", HTMLFormElement);
  private readonly field = part("code", HTMLInputElement);
  private readonly list = part("codes", HTMLUListElement);
  private readonly box = part("promo-failure", HTMLElement);

  /** onCart: the cart as it is with another code, or without one. */
  constructor(
    private readonly clients: Clients,
    private readonly onCart: (cart: Cart | undefined) => void,
  ) {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const request = { code: this.field.value, requestId: newId() };
      void this.change(async () => {
        const answer = await repeat(() => this.clients.cart.applyPromoCode(request));
        this.field.value = "";
        return answer.cart;
      });
    });
  }

  show(cart: Cart | undefined): void {
    clearFailure(this.box, this.form);
    this.form.hidden = (cart?.items.length ?? 0) === 0;
    this.list.replaceChildren(...(cart?.promoCodes ?? []).map((code) => this.row(code)));
  }

  private row(code: AppliedPromoCode): HTMLLIElement {
    const request = { code: code.code, allowMissing: true, requestId: newId() };
    const drop = () => this.change(async () => (await repeat(() => this.clients.cart.removePromoCode(request))).cart);
    const remove = button("Remove", drop, { "aria-label": `Remove the code ${code.code}` });
    const problem = code.problem === undefined ? [] : [el("p", { class: "problem" }, code.problem.message)];
    const off = code.freeDelivery ? "free delivery" : `− ${amount(code.discountAmount)}`;
    const name = el("span", { class: "grow" }, `Code ${code.code}`);
    return el("li", { class: "row", "data-code": code.code }, name, el("span", {}, problem.length > 0 ? "" : off), remove, ...problem);
  }

  private async change(call: () => Promise<Cart | undefined>): Promise<void> {
    clearFailure(this.box, this.form);
    await whileBusy(this.form, async () => {
      try {
        this.onCart(await call());
      } catch (error) {
        showFailure(this.box, error, this.form);
      }
    });
  }
}
