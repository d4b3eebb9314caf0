// Following one order: its states until a delivery is made, then the delivery with the courier on the map. One stream at
// a time, because a browser keeps only six connections to an address that speaks HTTP/1.1.
import type { LatLng } from "../gen/google/type/latlng_pb.js";
import { DeliveryOutcome, DeliveryState, type DeliveryCourier, type Eta } from "../gen/marketplace/delivery/v1/delivery_pb.js";
import { OrderState, type Order } from "../gen/marketplace/order/v1/order_pb.js";
import type { WatchOrderResponse } from "../gen/marketplace/order/v1/order_service_pb.js";
import type { WatchDeliveryResponse } from "../gen/marketplace/tracking/v1/tracking_service_pb.js";
import type { LivePosition } from "../gen/marketplace/tracking/v1/watch_pb.js";
import { clearFailure, showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { el, part, say } from "./dom.js";
import { CourierMap, metersBetween } from "./map.js";
import type { Session } from "./session.js";
import { watch, type Link, type Watched } from "./watch.js";
import { clock, deliveryState, distance, orderState } from "./words.js";

export class Follow {
  private readonly section = part("follow", HTMLElement);
  private readonly heading = part("follow-heading", HTMLElement);
  private readonly link = part("link", HTMLElement);
  private readonly where = part("where", HTMLElement);
  private readonly story = part("story", HTMLOListElement);
  private readonly box = part("follow-failure", HTMLElement);
  private readonly map = new CourierMap(part("map", HTMLCanvasElement));
  private stop = new AbortController();
  private door: LatLng | undefined;
  private position: LivePosition | undefined;
  private courier: DeliveryCourier | undefined;
  private eta: Eta | undefined;
  private isOver = false;
  // A resumed watch begins with how things are now, and then tells each change that was missed: only those are news.
  private isNews = true;

  /** onOrder: an order as it is now. onMove: the delivery has changed its state, and perhaps the order with it. */
  constructor(
    private readonly clients: Clients,
    private readonly session: Session,
    private readonly onOrder: (order: Order) => void,
    private readonly onMove: () => void,
  ) {}

  end(): void {
    this.stop.abort();
    this.section.hidden = true;
  }

  async start(order: Order): Promise<void> {
    this.end();
    const stop = (this.stop = new AbortController());
    this.door = this.position = this.courier = this.eta = undefined;
    this.isOver = false;
    this.isNews = true;
    this.map.clear();
    this.story.replaceChildren();
    say(this.where, "");
    say(this.heading, `Order ${order.orderNumber}`);
    clearFailure(this.box);
    this.section.hidden = false;
    this.section.scrollIntoView({ block: "nearest" });
    this.section.focus({ preventScroll: true });
    try {
      const deliveryId = await this.watchOrder(order, stop.signal);
      if (deliveryId === undefined) return;
      await this.watchDelivery(deliveryId, stop.signal);
    } catch (error) {
      if (!stop.signal.aborted) showFailure(this.box, error);
    }
  }

  /** The id of the delivery once there is one; undefined when the order ends without. */
  private async watchOrder(order: Order, signal: AbortSignal): Promise<string | undefined> {
    if (order.deliveryId !== undefined) return order.deliveryId;
    const enough = new AbortController();
    let deliveryId: string | undefined;
    const tell = ({ event }: WatchOrderResponse): void => {
      if (event.case !== "snapshot" && event.case !== "changed") return;
      const now = event.value.order;
      if (now === undefined) return;
      this.onOrder(now);
      this.tellState(`ORDER_${OrderState[now.state]}`, orderState(now.state));
      deliveryId = now.deliveryId;
      if (deliveryId !== undefined) enough.abort();
    };
    const open = (resumeToken: string, inner: AbortSignal) =>
      this.clients.order.watchOrder({ orderId: order.orderId, resumeToken }, { signal: inner, timeoutMs: 0 });
    await this.watch(open, tell, AbortSignal.any([signal, enough.signal]));
    return deliveryId;
  }

  private async watchDelivery(deliveryId: string, signal: AbortSignal): Promise<void> {
    const open = (resumeToken: string, inner: AbortSignal) =>
      this.clients.tracking.watchDelivery({ deliveryId, resumeToken }, { signal: inner, timeoutMs: 0 });
    await this.watch(open, (message) => this.tellDelivery(message), signal);
  }

  private watch<M extends Watched>(
    open: (resumeToken: string, signal: AbortSignal) => AsyncIterable<M>,
    tell: (message: M) => void,
    signal: AbortSignal,
  ): Promise<void> {
    return watch(open, tell, (link) => this.showLink(link), () => this.session.renew(), signal);
  }

  private tellDelivery({ event }: WatchDeliveryResponse): void {
    switch (event.case) {
      case "snapshot":
        if (this.isNews) this.tellDeliveryState(event.value.state, event.value.outcome);
        this.isNews = false;
        this.courier = event.value.courier;
        this.eta = event.value.eta;
        this.door = event.value.dropoffPoint ?? this.door;
        if (this.door !== undefined) this.map.showDoor(this.door);
        if (event.value.position !== undefined) this.move(event.value.position);
        break;
      case "stateChange":
        this.tellDeliveryState(event.value.state, event.value.outcome);
        this.courier = event.value.courier;
        this.onMove();
        break;
      case "position":
        this.move(event.value);
        break;
      case "eta":
        this.eta = event.value.eta;
        break;
      case "late":
        this.eta = event.value.eta;
        this.tellState("LATE", "It will be later than promised");
        break;
      case "reset": // changes were lost, and the snapshot that follows is all that there is
        this.isNews = true;
        return;
      default: // stops show in the states, and heartbeats say nothing to people
        return;
    }
    this.tellWhere();
  }

  private move(position: LivePosition): void {
    if (position.point === undefined) return;
    this.position = position;
    this.map.showCourier(position.point, position.headingDegrees);
  }

  private tellDeliveryState(state: DeliveryState, outcome: DeliveryOutcome): void {
    this.tellState(`DELIVERY_${DeliveryState[state]}`, deliveryState(state, outcome));
    this.isOver = state === DeliveryState.CLOSED;
    if (this.isOver) this.map.rest();
  }

  /** Adds to the story what is not its last line already: a snapshot may say what is known. */
  private tellState(state: string, text: string): void {
    const last = this.story.lastElementChild;
    if (last instanceof HTMLElement && last.dataset["state"] === state) return;
    const time = new Date().toLocaleTimeString(undefined, { timeStyle: "medium" });
    this.story.append(el("li", { "data-state": state }, el("span", { class: "time" }, time), ` ${text}`));
  }

  private tellWhere(): void {
    if (this.isOver) {
      say(this.where, "");
      return;
    }
    const who = this.courier?.firstName;
    const point = this.position?.point;
    const parts = [who === undefined ? "" : `${who} brings it`];
    if (point !== undefined && this.door !== undefined) parts.push(`${distance(metersBetween(point, this.door))} from the door`);
    if (this.eta?.expectedTime !== undefined) parts.push(`expected at ${clock(this.eta.expectedTime)}`);
    say(this.where, parts.filter((text) => text !== "").join(" · "));
  }

  private showLink(link: Link): void {
    this.link.dataset["link"] = link.kind;
    if ("breaks" in link) this.link.dataset["breaks"] = String(link.breaks);
    say(this.link, linkText(link));
  }
}

function linkText(link: Link): string {
  switch (link.kind) {
    case "connecting":
      return "Connecting …";
    case "live":
      return link.breaks === 0 ? "Live" : `Live again, resumed ${link.breaks === 1 ? "once" : `${link.breaks} times`}`;
    case "broken":
      return `Connection lost${link.why.reason && ` (${link.why.reason})`}; it resumes where it stood`;
    case "over":
      return "The delivery has ended";
  }
}
