// How do curves look? On small canvases, with logarithmic axes and few words.

import { colour, digits, whole } from "./dom.js";

export interface Line {
  x: ArrayLike<number>;
  y: ArrayLike<number>;
  colour: string;
  dashed?: boolean;
  label?: string;
  dots?: boolean;
}

interface Axes {
  logX: boolean;
  /** A place on the x-axis that is marked. */
  mark?: number | null;
  /** Words beside the axes. */
  xName?: string;
}

/** A chart that draws itself again on another size; the y-axis is logarithmic. */
export class Chart {
  readonly canvas: HTMLCanvasElement;
  private lines: Line[] = [];
  private axes: Axes = { logX: false };
  private span: [number, number] = [0, 1];
  onPick: ((x: number) => void) | null = null;

  constructor(private readonly height = 130) {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "chart";
    this.canvas.setAttribute("role", "img");
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.canvas.addEventListener("click", (event) => {
      const box = this.canvas.getBoundingClientRect();
      const part = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
      const [a, b] = this.span;
      const x = a + Math.max(0, Math.min(1, part)) * (b - a);
      this.onPick?.(this.axes.logX ? 10 ** x : x);
    });
  }

  show(lines: Line[], axes: Axes, name: string): void {
    [this.lines, this.axes] = [lines, axes];
    this.canvas.setAttribute("aria-label", name);
    this.draw();
  }

  draw(): void {
    const { canvas, axes } = this;
    const width = canvas.clientWidth;
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(this.height * scale);
    canvas.style.height = `${this.height}px`;
    const c = canvas.getContext("2d")!;
    c.scale(scale, scale);
    c.clearRect(0, 0, width, this.height);
    const lines = this.lines.filter((line) => line.x.length);
    const across = (x: number): number => (axes.logX ? Math.log10(x) : x);
    const all = lines.flatMap((line) => Array.from(line.y).filter((v) => v > 0 && Number.isFinite(v)).map(Math.log10));
    if (!all.length) return;
    const xs = lines.flatMap((line) => Array.from(line.x, across).filter(Number.isFinite));
    const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
    let [y0, y1] = [quantile(all, 0), quantile(all, 1)];
    const room = Math.max(0.05, 0.08 * (y1 - y0));
    [y0, y1] = [y0 - room, y1 + room];
    this.span = [x0, x1];
    const bottom = this.height - 20;
    const px = (x: number): number => LEFT + ((across(x) - x0) / (x1 - x0 || 1)) * (width - LEFT - RIGHT);
    const py = (y: number): number => 6 + ((y1 - Math.log10(y)) / (y1 - y0)) * (bottom - 6);

    c.font = "11px system-ui, sans-serif";
    c.fillStyle = colour("muted");
    c.strokeStyle = colour("faint");
    c.lineWidth = 1;
    c.textAlign = "right";
    const up = logTicks(y0, y1);
    for (const tick of up.length > 1 ? up : evenTicks(10 ** y0, 10 ** y1, 3)) {
      c.beginPath();
      c.moveTo(LEFT, py(tick));
      c.lineTo(width - RIGHT, py(tick));
      c.stroke();
      c.fillText(digits(tick), LEFT - 5, py(tick) + 4);
    }
    c.textAlign = "center";
    const ticks = axes.logX ? logTicks(x0, x1, true) : evenTicks(x0, x1);
    for (const tick of ticks) {
      const text = tick >= 1000 ? whole(tick) : digits(tick);
      const most = width - 2 - c.measureText(text).width / 2;
      c.fillText(text, Math.min(most, Math.max(LEFT + 4, px(tick))), this.height - 6);
    }
    if (axes.xName) {
      c.textAlign = "left";
      c.fillText(axes.xName, 2, this.height - 6);
    }
    if (axes.mark !== null && axes.mark !== undefined) {
      c.strokeStyle = colour("noise");
      c.beginPath();
      c.moveTo(px(axes.mark), 6);
      c.lineTo(px(axes.mark), bottom);
      c.stroke();
    }
    for (const line of lines) {
      c.strokeStyle = c.fillStyle = line.colour;
      c.lineWidth = line.dashed ? 1.6 : 1.8;
      c.setLineDash(line.dashed ? [6, 4] : []);
      c.beginPath();
      Array.from(line.x).forEach((x, i) => {
        const y = line.y[i]!;
        if (y > 0 && Number.isFinite(y)) c.lineTo(px(x), py(y));
      });
      c.stroke();
      c.setLineDash([]);
      if (line.dots) {
        Array.from(line.x).forEach((x, i) => {
          c.beginPath();
          c.arc(px(x), py(line.y[i]!), 2.6, 0, 7);
          c.fill();
        });
      }
    }
  }
}

const LEFT = 42;
const RIGHT = 8;

const quantile = (values: number[], part: number): number =>
  [...values].sort((a, b) => a - b)[Math.round(part * (values.length - 1))]!;

/** 1, 2, 5 of each power of ten that lie between two powers; few of them where the span is wide. */
function logTicks(low: number, high: number, powers = false): number[] {
  const found: number[] = [];
  const factors = (powers ? high - low > 2 : high - low > 1.6) ? [1] : high - low > 0.8 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (Math.log10(value) >= low && Math.log10(value) <= high) found.push(value);
    }
  }
  return found;
}

/** 1, 2, 5 times a power of ten apart: about as many as are wanted. */
export function evenTicks(low: number, high: number, most = 5): number[] {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough) ?? power;
  const found: number[] = [];
  for (let x = Math.ceil(low / step) * step; x <= high; x += step) found.push(x);
  return found;
}
