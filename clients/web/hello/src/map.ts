// The courier on a plain canvas: a grid of metres, the door, and the way that was seen. No tiles, so no network.
import type { LatLng } from "../gen/google/type/latlng_pb.js";

const METERS_A_DEGREE = 111_320;
const LEAST_SPAN_METERS = 200;
const PADDING_PIXELS = 36;
const GLIDE_MS = 900;
const STEPS_METERS = [25, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

interface Place {
  /** Metres east and north of the first point that was shown. */
  readonly x: number;
  readonly y: number;
}

export function metersBetween(a: LatLng, b: LatLng): number {
  const { x, y } = offset(a, b);
  return Math.hypot(x, y);
}

/** Good enough within a town. */
function offset(from: LatLng, to: LatLng): Place {
  const shrink = Math.cos((from.latitude * Math.PI) / 180);
  return {
    x: (to.longitude - from.longitude) * METERS_A_DEGREE * shrink,
    y: (to.latitude - from.latitude) * METERS_A_DEGREE,
  };
}

export class CourierMap {
  private origin: LatLng | undefined;
  private door: Place | undefined;
  private trail: Place[] = [];
  private drawn: Place | undefined;
  private heading: number | undefined;
  private glideFrom: Place | undefined;
  private glideStart = 0;
  private frame = 0;
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(private readonly canvas: HTMLCanvasElement) {
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear(): void {
    this.origin = this.door = this.drawn = this.heading = this.glideFrom = undefined;
    this.trail = [];
    this.draw();
  }

  showDoor(point: LatLng): void {
    this.door = this.placeOf(point);
    this.draw();
  }

  showCourier(point: LatLng, headingDegrees: number | undefined): void {
    const place = this.placeOf(point);
    this.trail.push(place);
    this.heading = headingDegrees;
    this.canvas.dataset["positions"] = String(this.trail.length);
    this.glideFrom = this.still.matches ? place : (this.drawn ?? place);
    this.glideStart = performance.now();
    cancelAnimationFrame(this.frame);
    this.step();
  }

  /** The courier has arrived: nothing glides any more. */
  rest(): void {
    this.glideFrom = this.trail.at(-1);
    this.heading = undefined;
    this.draw();
  }

  private placeOf(point: LatLng): Place {
    this.origin ??= point;
    return offset(this.origin, point);
  }

  private step(): void {
    this.draw();
    if (performance.now() - this.glideStart < GLIDE_MS) this.frame = requestAnimationFrame(() => this.step());
  }

  private courier(): Place | undefined {
    const to = this.trail.at(-1);
    const from = this.glideFrom;
    if (to === undefined || from === undefined) return to;
    const share = Math.min(1, (performance.now() - this.glideStart) / GLIDE_MS);
    return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
  }

  private draw(): void {
    const { canvas } = this;
    const pen = canvas.getContext("2d");
    const { clientWidth: width, clientHeight: height } = canvas;
    if (pen === null || width === 0) return;
    const ratio = devicePixelRatio;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(canvas);
    const color = (name: string): string => style.getPropertyValue(name).trim();
    const courier = (this.drawn = this.courier());
    const view = new View([...this.trail, ...(this.door ? [this.door] : [])], width, height);
    pen.clearRect(0, 0, width, height);
    drawGrid(pen, view, color("--line"), color("--soft"));
    drawTrail(pen, view, courier === undefined ? [] : [...this.trail.slice(0, -1), courier], color("--accent"));
    if (this.door !== undefined) drawDoor(pen, view.at(this.door), color("--text"), color("--back"));
    if (courier !== undefined) drawCourier(pen, view.at(courier), this.heading, color("--accent"), color("--back"));
  }
}

/** Fits all places into the canvas, north up. */
class View {
  readonly scale: number;
  private readonly middle: Place;

  constructor(
    places: readonly Place[],
    readonly width: number,
    readonly height: number,
  ) {
    const xs = places.length > 0 ? places.map((place) => place.x) : [0];
    const ys = places.length > 0 ? places.map((place) => place.y) : [0];
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    this.middle = { x: (left + right) / 2, y: (low + high) / 2 };
    const across = (width - 2 * PADDING_PIXELS) / Math.max(right - left, LEAST_SPAN_METERS);
    const up = (height - 2 * PADDING_PIXELS) / Math.max(high - low, LEAST_SPAN_METERS);
    this.scale = Math.max(Math.min(across, up), 1e-6);
  }

  at(place: Place): Place {
    return {
      x: this.width / 2 + (place.x - this.middle.x) * this.scale,
      y: this.height / 2 - (place.y - this.middle.y) * this.scale,
    };
  }

  /** The first line of a grid of this step, in pixels. */
  firstLine(step: number): Place {
    const { x, y } = this.at({ x: 0, y: 0 });
    return { x: ((x % step) + step) % step, y: ((y % step) + step) % step };
  }
}

function drawGrid(pen: CanvasRenderingContext2D, view: View, line: string, text: string): void {
  const meters = STEPS_METERS.find((step) => step * view.scale >= 40) ?? STEPS_METERS.at(-1) ?? 100;
  const step = meters * view.scale;
  const first = view.firstLine(step);
  pen.strokeStyle = line;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let x = first.x; x < view.width; x += step) {
    pen.moveTo(x, 0);
    pen.lineTo(x, view.height);
  }
  for (let y = first.y; y < view.height; y += step) {
    pen.moveTo(0, y);
    pen.lineTo(view.width, y);
  }
  pen.stroke();
  pen.strokeStyle = pen.fillStyle = text;
  pen.beginPath();
  pen.moveTo(12, view.height - 12);
  pen.lineTo(12 + step, view.height - 12);
  pen.stroke();
  pen.font = "12px system-ui, sans-serif";
  pen.fillText(meters < 1000 ? `${meters} m` : `${meters / 1000} km`, 12, view.height - 18);
}

function drawTrail(pen: CanvasRenderingContext2D, view: View, trail: readonly Place[], color: string): void {
  if (trail.length === 0) return;
  pen.strokeStyle = pen.fillStyle = color;
  pen.lineWidth = 3;
  pen.lineJoin = pen.lineCap = "round";
  pen.globalAlpha = 0.55;
  pen.beginPath();
  for (const place of trail) {
    const { x, y } = view.at(place);
    pen.lineTo(x, y);
  }
  pen.stroke();
  pen.globalAlpha = 1;
  const start = view.at(trail[0]!);
  pen.beginPath();
  pen.arc(start.x, start.y, 4, 0, 2 * Math.PI);
  pen.fill();
}

function drawDoor(pen: CanvasRenderingContext2D, { x, y }: Place, color: string, back: string): void {
  pen.fillStyle = color;
  pen.strokeStyle = back;
  pen.lineWidth = 2;
  pen.beginPath();
  for (const [dx, dy] of [[0, -13], [12, -2], [8, -2], [8, 9], [-8, 9], [-8, -2], [-12, -2]] as const) pen.lineTo(x + dx, y + dy);
  pen.closePath();
  pen.stroke();
  pen.fill();
}

function drawCourier(
  pen: CanvasRenderingContext2D,
  { x, y }: Place,
  heading: number | undefined,
  color: string,
  back: string,
): void {
  pen.fillStyle = color;
  pen.strokeStyle = back;
  pen.lineWidth = 2.5;
  if (heading !== undefined) {
    pen.save();
    pen.translate(x, y);
    pen.rotate((heading * Math.PI) / 180);
    pen.beginPath();
    pen.moveTo(0, -18);
    pen.lineTo(7, -7);
    pen.lineTo(-7, -7);
    pen.closePath();
    pen.fill();
    pen.restore();
  }
  pen.beginPath();
  pen.arc(x, y, 9, 0, 2 * Math.PI);
  pen.fill();
  pen.stroke();
}
