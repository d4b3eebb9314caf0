// What is sold: the list, the search, and a button that puts something into the cart.
import { StockState, type Product, type Variant } from "../gen/marketplace/catalog/v1/product_pb.js";
import { clearFailure, showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { button, el, part, say, whileBusy } from "./dom.js";
import { repeat } from "./repeat.js";
import { ratingOf } from "./reviews.js";
import { amount, optionsOf } from "./words.js";

const PAGE_SIZE = 12;

/** add: puts one piece into the cart; raises what it is refused for. */
export function mountGoods(clients: Clients, add: (variantId: string, title: string) => Promise<void>): void {
  const form = part("search", HTMLFormElement);
  const query = part("query", HTMLInputElement);
  const list = part("goods", HTMLUListElement);
  const found = part("found", HTMLElement);
  const box = part("goods-failure", HTMLElement);
  const more = part("more", HTMLButtonElement);
  let next = "";
  let asked = "";

  const page = async (pageToken: string): Promise<readonly Product[]> => {
    if (asked === "") {
      const answer = await repeat(() => clients.catalog.listProducts({ pageSize: PAGE_SIZE, pageToken }));
      next = answer.nextPageToken;
      say(found, "");
      return answer.products;
    }
    const answer = await repeat(() => clients.catalog.searchProducts({ query: asked, pageSize: PAGE_SIZE, pageToken }));
    next = answer.nextPageToken;
    const corrected = answer.correctedQuery === "" ? "" : `, searched as “${answer.correctedQuery}”`;
    say(found, `${answer.totalSize} found for “${asked}”${corrected}`);
    return answer.products;
  };
  const show = async (pageToken: string): Promise<void> => {
    clearFailure(box, form);
    try {
      const cards = (await page(pageToken)).map((product) => card(clients, product, add, box));
      if (pageToken === "") list.replaceChildren(...cards);
      else list.append(...cards);
      more.hidden = next === "";
      if (pageToken !== "") cards[0]?.querySelector("button")?.focus();
    } catch (error) {
      showFailure(box, error, form);
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    asked = query.value.trim();
    void whileBusy(form, () => show(""));
  });
  more.addEventListener("click", () => void whileBusy(more, () => show(next)));
  void show("");
}

function card(
  clients: Clients,
  product: Product,
  add: (variantId: string, title: string) => Promise<void>,
  box: HTMLElement,
): HTMLLIElement {
  const foot = el("div", { class: "foot" });
  const price = el("p", {}, amount(product.price));
  const rating = ratingOf(clients, product, box);
  const item = el("li", { class: "card" }, picture(product), el("h3", {}, product.title), price, ...rating, foot);
  const put = async (variant: Variant): Promise<void> => {
    clearFailure(box);
    await whileBusy(foot, async () => {
      try {
        await add(variant.variantId, product.title);
      } catch (error) {
        showFailure(box, error);
      }
    });
  };
  const choose = async (): Promise<void> => {
    const variants = await variantsOf(clients, product, foot, box);
    const only = variants[0];
    if (only === undefined) return;
    if (variants.length === 1) return put(only);
    const select = el("select", { "aria-label": `Which ${product.title}` });
    select.append(...variants.map((each, index) => el("option", { value: index }, variantLabel(each))));
    const confirm = button("Add", () => put(variants[Number(select.value)] ?? only), { "aria-label": `Add ${product.title}` });
    foot.replaceChildren(select, confirm);
    select.focus();
  };
  foot.append(button("Add to cart", choose, { "aria-label": `Add to cart: ${product.title}` }));
  return item;
}

async function variantsOf(clients: Clients, product: Product, foot: HTMLElement, box: HTMLElement): Promise<Variant[]> {
  let variants: Variant[] = [];
  await whileBusy(foot, async () => {
    try {
      const lookup = { case: "productId", value: product.productId } as const;
      variants = (await repeat(() => clients.catalog.getProduct({ lookup }))).product?.variants ?? [];
    } catch (error) {
      showFailure(box, error);
    }
  });
  return variants;
}

function variantLabel(variant: Variant): string {
  const out = variant.stockState === StockState.OUT_OF_STOCK ? " (out of stock)" : "";
  return `${optionsOf(variant.options)} · ${amount(variant.price)}${out}`;
}

function picture(product: Product): HTMLElement {
  const image = product.images[0]?.image;
  const size = image?.renditions.find((rendition) => rendition.name === "card");
  if (size?.url === undefined) return el("div", { class: "picture empty", "aria-hidden": true });
  const shown = el("img", {
    class: "picture", src: size.url, width: size.width, height: size.height, loading: "lazy", alt: image?.altText ?? "",
  });
  shown.addEventListener("error", () => shown.replaceWith(el("div", { class: "picture empty", "aria-hidden": true })));
  return shown;
}
