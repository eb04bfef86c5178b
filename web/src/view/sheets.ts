// How do images come out of noise? A sheet of them at each moment, and of one of them all moments side by side.

import type { SheetsWalk, WatchedWalk } from "../engine/watched.js";
import { Segments } from "./controls.js";
import { colour, h, named, on, whole } from "./dom.js";
import { fitted, type Picture } from "./picture.js";
import type { Speaker } from "./words.js";

const TITLE = 22;
const STRIP = 9;

type Shown = "samples" | "dataToo";

async function loaded(address: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** The picture of a sheet. */
export class SheetsPicture implements Picture {
  readonly element: HTMLElement;
  readonly controls: HTMLElement;
  readonly one = h("canvas", { class: "strip hidden", role: "img" });
  private readonly canvas = h("canvas");
  private readonly shown: Segments<Shown>;
  private walk: SheetsWalk | null = null;
  private moments: HTMLImageElement[] = [];
  private real: HTMLImageElement | null = null;
  private position = 0;
  private chosen: number | null = null;

  constructor(
    private readonly speaker: Speaker,
    again: () => void,
  ) {
    this.element = h("div", { class: "stage sheet", tabindex: 0, role: "application" }, this.canvas);
    this.shown = new Segments<Shown>(
      speaker, "what", [{ value: "samples", word: "samples" }, { value: "dataToo", word: "realImages" }], "samples",
      again,
    );
    this.controls = h("div", { class: "row" }, this.shown.element);
    on(this.element, "click", (event) => this.choose(event));
    on(this.element, "keydown", (event) => {
      const { walk, chosen } = this;
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: walk?.columns, ArrowUp: -(walk?.columns ?? 0) }[event.key];
      if (!by || !walk) return;
      event.preventDefault();
      event.stopPropagation();
      this.chosen = chosen === null ? 0 : Math.max(0, Math.min(walk.n - 1, chosen + by));
      this.draw(this.position);
    });
    new ResizeObserver(() => this.draw(this.position)).observe(this.element);
  }

  async take(walk: WatchedWalk): Promise<void> {
    if (walk.look !== "sheets") return;
    const [moments, real] = await Promise.all([Promise.all(walk.states.map(loaded)), walk.real ? loaded(walk.real) : null]);
    [this.walk, this.moments, this.real] = [walk, moments, real];
    if (this.chosen !== null && this.chosen >= walk.n) this.chosen = null;
    this.controls.classList.toggle("hidden", !real);
  }

  draw(position: number): void {
    this.position = position;
    const { walk } = this;
    const width = this.element.clientWidth;
    if (!walk || !width) return;
    const ofReal = this.shown.value === "dataToo" && this.real !== null;
    const image = ofReal ? this.real! : this.moments[Math.min(Math.round(position), this.moments.length - 1)]!;
    const top = walk.titles.length && !ofReal ? TITLE : 0;
    const scale = width / this.moments[0]!.width;
    this.element.style.aspectRatio = `${width} / ${this.moments[0]!.height * scale + top}`;
    const c = fitted(this.canvas, width, this.element.clientHeight);
    c.imageSmoothingEnabled = scale < 1;
    const [wide, high] = walk.size;
    for (let i = 0; i < walk.n; i++) {
      const [x, y] = this.place(i); // one by one: what is between them is the page's
      if (y < image.height) c.drawImage(image, x, y, wide, high, x * scale, y * scale + top, wide * scale, high * scale);
    }
    c.font = "12px system-ui, sans-serif";
    c.fillStyle = colour("muted");
    c.textAlign = "center";
    const step = (walk.size[0] + walk.gap) * scale;
    if (top) walk.titles.forEach((title, i) => c.fillText(title, step * i + (walk.size[0] * scale) / 2, 15, step - 2));
    if (this.chosen !== null && !ofReal) {
      const [x, y] = this.place(this.chosen);
      c.strokeStyle = colour("made");
      c.lineWidth = 3;
      c.strokeRect(x * scale + 1, y * scale + top + 1, walk.size[0] * scale - 2, walk.size[1] * scale - 2);
    }
    this.strip();
    named(this.element, this.sentence());
    this.element.dataset["frame"] = String(Number(this.element.dataset["frame"] ?? 0) + 1);
  }

  /** Where image number i is on a sheet. */
  private place(i: number): [number, number] {
    const { columns, size, gap } = this.walk!;
    return [(i % columns) * (size[0] + gap), Math.floor(i / columns) * (size[1] + gap)];
  }

  private choose(event: MouseEvent): void {
    const { walk } = this;
    if (!walk) return;
    const box = this.element.getBoundingClientRect();
    const scale = box.width / this.moments[0]!.width;
    const top = walk.titles.length ? TITLE : 0;
    const column = Math.floor((event.clientX - box.left) / scale / (walk.size[0] + walk.gap));
    const row = Math.floor((event.clientY - box.top - top) / scale / (walk.size[1] + walk.gap));
    const i = row * walk.columns + column;
    this.chosen = row >= 0 && column < walk.columns && i < walk.n && i !== this.chosen ? i : null;
    this.draw(this.position);
  }

  /** Draw the moments of the chosen image in a row. */
  private strip(): void {
    const { walk, chosen, one } = this;
    one.classList.toggle("hidden", chosen === null);
    const width = one.clientWidth;
    if (!walk || chosen === null || !width) return;
    const count = Math.min(STRIP, this.moments.length);
    const side = (width - 4 * (count - 1)) / count;
    const height = (side * walk.size[1]) / walk.size[0];
    one.style.height = `${height}px`;
    const c = fitted(one, width, height);
    c.imageSmoothingEnabled = side < walk.size[0];
    const [x, y] = this.place(chosen);
    for (let k = 0; k < count; k++) {
      const image = this.moments[Math.round((k * (this.moments.length - 1)) / (count - 1 || 1))]!;
      c.drawImage(image, x, y, ...walk.size, k * (side + 4), 0, side, height);
    }
    named(one, this.speaker.say("oneImage"));
  }

  sentence(): string {
    const { walk, speaker } = this;
    if (!walk) return "";
    return speaker.say(this.shown.value === "dataToo" ? "sentenceRealImages" : "sentenceImages", whole(walk.n));
  }
}
