// How do rows of a table move from noise to data? Two of their columns at a time, beside real rows.

import type { Column, ColumnsWalk, Places, WatchedWalk } from "../engine/watched.js";
import { evenTicks } from "./charts.js";
import { colour, digits, h, named, on, put, whole } from "./dom.js";
import { fitted, type Picture } from "./picture.js";
import type { Speaker } from "./words.js";

const STEPS = 65_534;
const [LEFT, BOTTOM, SIDE, GAP] = [64, 40, 64, 6];
const BINS = 40;
const DAY = 86_400_000;

/** A number between 0 and 1 that is always the same of a row and a column. */
const shake = (row: number, column: number): number => {
  const x = Math.sin(12.9898 * (row + 1) + 78.233 * (column + 1)) * 43758.5453;
  return x - Math.floor(x);
};

/** A value of a column as text. */
function textOf({ limits: [low, high], labels, log, time }: Column, part: number): string {
  const value = low + part * (high - low);
  if (labels.length) return labels[Math.round(value)] ?? "";
  if (time) return new Date(value * DAY).toISOString().slice(0, high - low < 3 ? 16 : 10).replace("T", " ");
  return digits(log ? 10 ** value : value);
}

/** Places of ticks, from 0 to 1, and their texts. */
function ticksOf(column: Column, most: number): [number, string][] {
  const { limits: [low, high], labels, log, time } = column;
  const at = (value: number): number => (value - low) / (high - low);
  if (labels.length) return labels.map((label, i) => [at(i), label]);
  if (time) {
    const letters = high - low > 1200 ? 4 : high - low > 90 ? 7 : 16; // years, months, or more
    return [0.1, 0.5, 0.9].map((part) => [part, textOf(column, part).slice(0, letters)]);
  }
  if (log && high - low > 1.5) {
    const powers = Array.from({ length: Math.floor(high) - Math.ceil(low) + 1 }, (_, i) => Math.ceil(low) + i);
    return powers.map((power) => [at(power), digits(10 ** power)]);
  }
  if (log) return evenTicks(10 ** low, 10 ** high, most).map((value) => [at(Math.log10(value)), digits(value)]);
  return evenTicks(low, high, most).map((value) => [at(value), digits(value)]);
}

const ends = new WeakMap<Places, [number, number]>();

/** The least and the greatest place of a column: what lies beyond is shown there. */
function endsOf(states: Places): [number, number] {
  let found = ends.get(states);
  if (!found) {
    found = [STEPS, 0];
    for (const place of states) if (place <= STEPS) found = [Math.min(found[0], place), Math.max(found[1], place)];
    ends.set(states, found);
  }
  return found;
}

/** The rows (n, 2) of two columns, from 0 to 1; NaN where a value is missing or, on its way, outside of the picture. */
function rowsOf(
  pair: [Column, Column], of: (column: Column) => [Places, number, number, number], n: number, arrived = true,
): Float32Array {
  const out = new Float32Array(2 * n);
  pair.forEach((column, k) => {
    const [states, now, next, share] = of(column);
    const unit = column.labels.length ? 0.56 / (column.limits[1] - column.limits[0]) : 0;
    const [least, most] = arrived ? [0, STEPS] : endsOf(states);
    for (let i = 0; i < n; i++) {
      const [a, b] = [states[n * now + i]!, states[n * next + i]!];
      const outside = !arrived && !unit && (a <= least || a >= most);
      const value = a > STEPS || outside ? NaN : b > STEPS || unit ? a : a + share * (b - a);
      out[2 * i + k] = value / STEPS + unit * (shake(i, k) - 0.5);
    }
  });
  return out;
}

/** The picture of two columns, with each of them alone at its side. */
export class ColumnsPicture implements Picture {
  readonly element: HTMLElement;
  readonly controls: HTMLElement;
  readonly one = h("dl", { class: "row-values" });
  private readonly canvas = h("canvas", { class: "scatter" });
  private readonly choices = [h("select", { id: "column-x" }), h("select", { id: "column-y" })] as const;
  private walk: ColumnsWalk | null = null;
  private position = 0;
  private chosen: number | null = null;
  private places: Float32Array = new Float32Array();

  constructor(
    private readonly speaker: Speaker,
    again: () => void,
  ) {
    this.element = h("div", { class: "stage", tabindex: 0, role: "application" }, this.canvas);
    const words = ["acrossColumn", "upColumn"] as const;
    this.controls = h(
      "div", { class: "row" },
      ...this.choices.map((select, k) => h("label", { class: "inline" }, speaker.text(words[k]!), " ", select)),
    );
    for (const select of this.choices) on(select, "change", again);
    on(this.element, "click", (event) => this.choose(event));
    on(this.element, "keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!by || !this.walk) return;
      event.preventDefault();
      event.stopPropagation();
      const { n } = this.walk;
      this.ask(this.chosen === null ? 0 : (this.chosen + by + n) % n);
    });
    new ResizeObserver(() => this.draw(this.position)).observe(this.element);
  }

  take(walk: WatchedWalk): Promise<void> {
    if (walk.look !== "columns") return Promise.resolve();
    const before = this.walk?.columns.map(({ name }) => name).join();
    this.walk = walk;
    this.chosen = null;
    put(this.one, "");
    if (before !== walk.columns.map(({ name }) => name).join()) {
      this.choices.forEach((select, k) => {
        select.replaceChildren(...walk.columns.map(({ name }, i) => h("option", { value: i }, name)));
        select.value = String(walk.first[k]);
      });
    }
    return Promise.resolve();
  }

  private get pair(): [number, number] {
    return this.choices.map((select) => Number(select.value)) as [number, number];
  }

  private get columns(): [Column, Column] {
    return this.pair.map((i) => this.walk!.columns[i]!) as [Column, Column];
  }

  /** Whether what is shown is the end of the walk. */
  private get arrived(): boolean {
    return this.position >= (this.walk?.steps.length ?? 0) - 1;
  }

  draw(position: number): void {
    this.position = position;
    const { walk } = this;
    const size = this.element.clientWidth;
    if (!walk || !size) return;
    const c = fitted(this.canvas, size, size);
    const [x, y] = this.columns;
    const { n } = walk;
    const now = Math.min(Math.floor(position), walk.steps.length - 1);
    const near = Math.min(Math.round(position), walk.steps.length - 1);
    const next = Math.min(now + 1, walk.steps.length - 1);
    const real = rowsOf([x, y], (column) => [column.real, 0, 0, 0], x.real.length);
    const made = rowsOf([x, y], ({ states, labels }) => (labels.length ? [states, near, near, 0] : [states, now, next, position - now]), n, this.arrived);
    this.places = made;
    const area = { left: LEFT, top: SIDE + GAP, width: size - LEFT - SIDE - GAP, height: size - SIDE - GAP - BOTTOM };
    const px = (v: number): number => area.left + v * area.width;
    const py = (v: number): number => area.top + (1 - v) * area.height;
    this.axes(c, x, y, area, px, py);
    const cloud = (rows: Float32Array, ink: string, alpha: number, dot: number): void => {
      c.fillStyle = colour(ink);
      c.globalAlpha = alpha;
      for (let i = 0; i < rows.length; i += 2) {
        if (rows[i]! >= 0 && rows[i]! <= 1 && rows[i + 1]! >= 0 && rows[i + 1]! <= 1) {
          c.fillRect(px(rows[i]!) - dot / 2, py(rows[i + 1]!) - dot / 2, dot, dot);
        }
      }
      c.globalAlpha = 1;
    };
    cloud(real, "real", Math.min(0.8, 0.4 + 200 / (real.length + 1)), Math.max(2, size / 240));
    cloud(made, "made", 0.85, Math.max(2.2, size / 190));
    this.sides(c, [real, made], [x, y], area);
    if (this.chosen !== null) this.ring(c, px(made[2 * this.chosen]!), py(made[2 * this.chosen + 1]!));
    named(this.element, this.sentence());
    this.element.dataset["frame"] = String(Number(this.element.dataset["frame"] ?? 0) + 1);
  }

  private axes(
    c: CanvasRenderingContext2D, x: Column, y: Column,
    area: { left: number; top: number; width: number; height: number },
    px: (v: number) => number, py: (v: number) => number,
  ): void {
    c.font = "11.5px system-ui, sans-serif";
    c.fillStyle = colour("muted");
    c.strokeStyle = colour("faint");
    c.lineWidth = 1;
    c.strokeRect(area.left, area.top, area.width, area.height);
    c.textAlign = "center";
    const across = ticksOf(x, Math.max(2, Math.floor(area.width / 80)));
    let free = 0;
    for (const [at, text] of across) {
      const half = c.measureText(text).width / 2;
      if (at < 0 || at > 1 || px(at) - half < free) continue;
      free = px(at) + half + 6;
      c.fillText(text, px(at), area.top + area.height + 15);
    }
    c.textAlign = "right";
    for (const [at, text] of ticksOf(y, Math.max(2, Math.floor(area.height / 60)))) {
      if (at < 0 || at > 1) continue;
      c.fillText(text.length > 9 ? `${text.slice(0, 8)}…` : text, area.left - 6, py(at) + 4, LEFT - 10);
    }
    c.fillStyle = colour("ink");
    c.textAlign = "center";
    c.fillText(x.name, area.left + area.width / 2, area.top + area.height + 33, area.width);
    c.textAlign = "left";
    c.fillText(y.name, area.left, area.top - 8, area.width);
  }

  /** Each column alone: real rows as an area, samples as a line. */
  private sides(
    c: CanvasRenderingContext2D, clouds: Float32Array[], columns: [Column, Column],
    area: { left: number; top: number; width: number; height: number },
  ): void {
    columns.forEach((column, k) => {
      const bins = column.labels.length || BINS;
      const [low, high] = column.limits;
      const binOf = (part: number): number =>
        column.labels.length ? Math.round(low + part * (high - low)) : Math.floor(part * bins);
      const shares = clouds.map((rows) => {
        const counts = new Float64Array(bins);
        for (let i = k; i < rows.length; i += 2) {
          const bin = binOf(rows[i]!);
          if (bin >= 0 && bin < bins) counts[bin]!++;
        }
        return counts.map((count) => count / Math.max(1, rows.length / 2));
      });
      const most = Math.max(...shares.flatMap((one) => Array.from(one)), 1e-9);
      const start = (bin: number): number => (column.labels.length ? (bin - 0.5 - low) / (high - low) : bin / bins);
      shares.forEach((one, which) => {
        c.beginPath();
        const point = (along: number, share: number): void => {
          const [a, b] = [Math.max(0, Math.min(1, along)), (share / most) * (SIDE - 8)];
          if (k === 0) c.lineTo(area.left + a * area.width, area.top - GAP - 14 - b * 0.72);
          else c.lineTo(area.left + area.width + GAP + b, area.top + (1 - a) * area.height);
        };
        point(0, 0);
        point(start(0), 0);
        one.forEach((share, bin) => {
          point(start(bin), share);
          point(start(bin + 1), share);
        });
        point(start(bins), 0);
        point(1, 0);
        c.globalAlpha = which ? 1 : 0.3;
        if (which) {
          c.strokeStyle = colour("made");
          c.lineWidth = 1.6;
          c.stroke();
        } else {
          c.fillStyle = colour("real");
          c.fill();
        }
        c.globalAlpha = 1;
      });
    });
  }

  private ring(c: CanvasRenderingContext2D, x: number, y: number): void {
    c.strokeStyle = colour("ink");
    c.lineWidth = 2;
    c.beginPath();
    c.arc(x, y, 7, 0, 7);
    c.stroke();
  }

  /** Choose the sample that is nearest to a click, and list its values. */
  private choose(event: MouseEvent): void {
    const { walk } = this;
    if (!walk) return;
    const box = this.element.getBoundingClientRect();
    const size = box.width;
    const [width, height] = [size - LEFT - SIDE - GAP, size - SIDE - GAP - BOTTOM];
    const [x, y] = [(event.clientX - box.left - LEFT) / width, 1 - (event.clientY - box.top - SIDE - GAP) / height];
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < walk.n; i++) {
      const far = Math.hypot(this.places[2 * i]! - x, this.places[2 * i + 1]! - y);
      if (far < least) [best, least] = [i, far];
    }
    this.ask(best < 0 ? null : best);
  }

  private ask(chosen: number | null): void {
    this.chosen = chosen;
    this.list();
    this.draw(this.position);
  }

  private list(): void {
    const { walk, chosen, speaker } = this;
    if (!walk || chosen === null) return;
    const last = walk.n * (walk.steps.length - 1);
    const entries = walk.columns.flatMap((column) => {
      const place = column.states[last + chosen]!;
      const text = place > STEPS ? speaker.say("missingValue") : textOf(column, place / STEPS);
      return [h("dt", {}, column.name), h("dd", {}, text)];
    });
    this.one.replaceChildren(...entries);
  }

  sentence(): string {
    const { walk, speaker } = this;
    if (!walk) return "";
    const [i, j] = this.pair;
    const [x, y] = this.columns;
    const words = [speaker.say("sentenceRows", whole(walk.n), x.name, y.name)];
    if (x.real.length) words.push(speaker.say("besideReal", whole(x.real.length)));
    const last = walk.n * (walk.steps.length - 1);
    const varies = ({ states }: Column): boolean => Array.from({ length: walk.n }, (_, k) => states[last + k]).some((one) => one !== states[last]);
    if (!this.arrived) {
      let outside = 0;
      for (let k = 0; k < walk.n; k++) outside += Number(Number.isNaN(this.places[2 * k]! + this.places[2 * k + 1]!));
      if (outside) words.push(speaker.say("outsideRows", whole(outside)));
    } else if (walk.associations && i !== j && varies(x) && varies(y)) {
      const [real, made] = walk.associations.map((matrix) => matrix[i]![j]!.toFixed(2));
      words.push(speaker.say("associationIs", real!, made!));
    }
    return words.join(" ");
  }
}
