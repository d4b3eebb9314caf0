// Puts the page together. Everything that it shows came over gRPC-web from the address that it was loaded from.
import { CartView } from "./cart.js";
import { Checkout, tellPlaced } from "./checkout.js";
import { clientsOn } from "./clients.js";
import { el, part, say } from "./dom.js";
import { Follow } from "./follow.js";
import { mountGoods } from "./goods.js";
import { Orders } from "./orders.js";
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
const cart = new CartView(clients, (isEmpty) => checkout.reset(isEmpty));

mountGoods(clients, (variantId, title) => cart.add(variantId, title));
mountSignIn(clients, session, (name) => {
  mine.hidden = part("to-cart", HTMLElement).hidden = name === undefined;
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
