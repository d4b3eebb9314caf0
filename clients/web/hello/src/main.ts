// Puts the page together. Everything that it shows came over gRPC-web from the address that it was loaded from.
import { CartView } from "./cart.js";
import { Checkout, tellPlaced } from "./checkout.js";
import { clientsOn } from "./clients.js";
import { el, part, say } from "./dom.js";
import { Follow } from "./follow.js";
import { mountGoods } from "./goods.js";
import { Orders } from "./orders.js";
import { repeat } from "./repeat.js";
import { Session } from "./session.js";
import { mountSignIn } from "./signin.js";
import { transportTo } from "./transport.js";

const session = new Session(transportTo(location.origin, []));
const clients = clientsOn(transportTo(location.origin, [session.interceptor]));
const mine = part("mine", HTMLElement);

const follow: Follow = new Follow(
  clients,
  session,
  (order) => orders.put(order),
  () => void orders.load(),
);
const orders = new Orders(clients, (order) => void follow.start(order));
const checkout = new Checkout(clients, (group) => {
  tellPlaced(group);
  void cart.load();
  void orders.load().then(() => part("orders", HTMLElement).focus());
});
const cart = new CartView(clients, (isEmpty) => checkout.reset(isEmpty || !session.isOpen));

// A guest sees the cart, and nothing that takes an account.
const show = (): void => {
  mine.hidden = part("to-cart", HTMLElement).hidden = !session.hasCart;
  part("orders", HTMLElement).hidden = !session.isOpen;
  part("guest", HTMLElement).hidden = session.isOpen;
};

let opening: Promise<void> | undefined;
const openGuestCart = async (): Promise<void> => {
  const { guestToken } = await repeat(() => clients.cart.createGuestCart({}));
  if (!session.hasCart) session.beGuest(guestToken);
  show();
};

mountGoods(clients, async (variantId, title) => {
  // One cart, however fast the first things are put into it.
  if (!session.hasCart) await (opening ??= openGuestCart().finally(() => (opening = undefined)));
  await cart.add(variantId, title);
});
mountSignIn(clients, session, (name) => {
  show();
  say(part("added", HTMLElement), "");
  if (name === undefined) {
    follow.end();
    orders.clear();
    return;
  }
  void cart.load();
  void checkout.load();
  void orders.load();
});

// What no part has caught is at least said.
addEventListener("unhandledrejection", ({ reason }) => {
  part("broken", HTMLElement).replaceChildren(el("p", {}, `Something went wrong: ${String(reason)}`));
});
