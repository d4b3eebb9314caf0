// What others say of a product: its stars, and the newest reviews for whoever asks.
import type { Product } from "../gen/marketplace/catalog/v1/product_pb.js";
import type { Review } from "../gen/marketplace/review/v1/review_pb.js";
import { showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { el } from "./dom.js";
import { repeat } from "./repeat.js";

const SHOWN = 3;

/** Nothing while nobody has reviewed it. */
export function ratingOf(clients: Clients, product: Product, box: HTMLElement): HTMLElement[] {
  const { average, count } = product.rating ?? {};
  if (average === undefined || count === undefined || count === 0) return [];
  const words = `${product.title}: ${average.toFixed(1)} of 5 stars, ${count === 1 ? "one review" : `${count} reviews`}`;
  const list = el("ul", { class: "reviews" });
  const summary = el("summary", { "aria-label": words }, `${stars(average)} ${average.toFixed(1)} (${count})`);
  const place = el("details", { class: "rating" }, summary, list);
  place.addEventListener("toggle", () => {
    if (place.open && list.childElementCount === 0) void show(clients, product, list, box);
  });
  return [place];
}

async function show(clients: Clients, product: Product, list: HTMLElement, box: HTMLElement): Promise<void> {
  try {
    const request = { productIds: [product.productId], pageSize: SHOWN };
    const { reviews } = await repeat(() => clients.review.listReviews(request));
    list.replaceChildren(...reviews.map((review) => said(review)));
  } catch (error) {
    showFailure(box, error);
  }
}

function said(review: Review): HTMLLIElement {
  const who = review.authorName ?? "Somebody";
  const head = el("strong", { "aria-label": `${who}, ${review.rating} of 5 stars` }, `${stars(review.rating)} ${who}`);
  const reply = review.reply === undefined ? [] : [el("p", { class: "reply" }, `The shop: ${review.reply.text}`)];
  return el("li", {}, head, el("p", {}, review.text ?? ""), ...reply);
}

function stars(rating: number): string {
  const full = Math.round(rating);
  return "★".repeat(full) + "☆".repeat(5 - full);
}
