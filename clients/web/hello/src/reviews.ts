// What others say of a product: its stars, and the newest reviews for whoever asks.
import type { Product } from "../gen/marketplace/catalog/v1/product_pb.js";
import type { Review } from "../gen/marketplace/review/v1/review_pb.js";
import { showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { button, el, whileBusy } from "./dom.js";
import { repeat } from "./repeat.js";

const SHOWN = 3;

/** Nothing while nobody has reviewed it. */
export function ratingOf(clients: Clients, product: Product, box: HTMLElement): HTMLElement[] {
  const { average, count } = product.rating ?? {};
  if (average === undefined || count === undefined || count === 0) return [];
  const place = el("div", { class: "rating" });
  const open = async (): Promise<void> => {
    await whileBusy(place, async () => {
      try {
        const request = { productIds: [product.productId], pageSize: SHOWN };
        const { reviews } = await repeat(() => clients.review.listReviews(request));
        place.replaceChildren(el("ul", { class: "reviews", tabindex: -1 }, ...reviews.map((review) => said(review))));
        place.querySelector("ul")?.focus();
      } catch (error) {
        showFailure(box, error);
      }
    });
  };
  const words = `${average.toFixed(1)} of 5 stars, ${count === 1 ? "one review" : `${count} reviews`}`;
  place.append(button(`${stars(average)} ${average.toFixed(1)} (${count})`, open, { "aria-label": `${product.title}: ${words}. Read them` }));
  return [place];
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
