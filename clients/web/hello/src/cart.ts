// The cart: its lines, and what stands in the way of ordering them.
import type { Cart, CartItem } from "../gen/marketplace/cart/v1/cart_pb.js";
import { clearFailure, showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { button, el, part, say, whileBusy } from "./dom.js";
import { PromoView } from "./promo.js";
import { newId, repeat } from "./repeat.js";
import { amount, optionsOf } from "./words.js";

export class CartView {
  private readonly section = part("cart", HTMLElement);
  private readonly lines = part("cart-lines", HTMLUListElement);
  private readonly sum = part("cart-sum", HTMLElement);
  private readonly box = part("cart-failure", HTMLElement);
  private readonly promo: PromoView;

  /** onChange: the cart is another one now; a quote of the one before is of no use. */
  constructor(
    private readonly clients: Clients,
    private readonly onChange: (isEmpty: boolean) => void,
  ) {
    this.promo = new PromoView(clients, (cart) => this.show(cart));
  }

  async load(): Promise<void> {
    try {
      this.show((await repeat(() => this.clients.cart.getCart({}))).cart);
    } catch (error) {
      showFailure(this.box, error);
    }
  }

  /** Raises what AddCartItem is refused for. */
  async add(variantId: string, title: string): Promise<void> {
    // One id for all attempts of this press: a lost answer does not add a second piece.
    const requestId = newId();
    const answer = await repeat(() => this.clients.cart.addCartItem({ variantId, quantity: 1, requestId }));
    this.show(answer.cart);
    say(part("added", HTMLElement), `${title} is in the cart.`);
  }

  private show(cart: Cart | undefined): void {
    clearFailure(this.box);
    const items = cart?.items ?? [];
    this.lines.replaceChildren(...items.map((item) => this.line(item)));
    const pieces = cart?.totalQuantity ?? 0;
    const sum = `${amount(cart?.subtotal)} for ${pieces === 1 ? "one piece" : `${pieces} pieces`}`;
    const isLess = (cart?.discountAmount?.units ?? 0n) !== 0n || (cart?.discountAmount?.nanos ?? 0) !== 0;
    const after = isLess ? `, ${amount(cart?.total)} with the codes` : "";
    say(this.sum, pieces === 0 ? "The cart is empty." : `${sum}${after}`);
    say(part("to-cart", HTMLElement), `Cart (${pieces})`);
    this.section.dataset["pieces"] = String(pieces);
    this.promo.show(cart);
    this.onChange(items.length === 0);
  }

  private line(item: CartItem): HTMLLIElement {
    const title = [item.title ?? "No longer sold", optionsOf(item.options)].filter((text) => text !== "").join(", ");
    const remove = button("Remove", () => this.remove(item), { "aria-label": `Remove ${title}` });
    const problems = item.problems.map((problem) => el("p", { class: "problem" }, problem.message));
    const text = el("span", { class: "grow" }, `${item.quantity} × ${title}`);
    return el("li", { class: "row" }, text, el("span", {}, amount(item.lineTotal)), remove, ...problems);
  }

  private async remove(item: CartItem): Promise<void> {
    await whileBusy(this.section, async () => {
      try {
        const request = { itemId: item.itemId, allowMissing: true, requestId: newId() };
        this.show((await repeat(() => this.clients.cart.removeCartItem(request))).cart);
      } catch (error) {
        showFailure(this.box, error);
      }
    });
    this.section.focus();
  }
}
