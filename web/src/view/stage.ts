// What is in the big picture? Points and a heat map, and above them arrows, paths and the asked point.

import type { Display, Path } from "../engine/protocol.js";
import type { Level } from "../engine/schedules.js";
import { CLASS_COLOURS } from "./classes.js";
import { colour, h, rgb } from "./dom.js";
import { EXTENT, pointLayer, type PointLayer } from "./points.js";

/** √(α² s² + σ²): how wide the cloud is at a level. */
export const widthAt = (display: Display, level: Level): number =>
  Math.hypot(level.alpha * display.spread, level.sigma);

/** Bring points (n, 2) of the model at a level to the picture. */
export function shown(display: Display, level: Level, x: Float32Array, out = new Float32Array(x.length), at = 0): Float32Array {
  const width = widthAt(display, level);
  for (let i = 0; i < x.length; i++) out[at + i] = (x[i]! - level.alpha * display.middle[i % 2]!) / width;
  return out;
}

/** Bring points (n, 2) of the picture at a level back to the units of the model. */
export function unshown(display: Display, level: Level, y: Float32Array): Float32Array {
  const width = widthAt(display, level);
  return y.map((v, i) => v * width + level.alpha * display.middle[i % 2]!);
}

export const CLEAN: Level = { t: 0, alpha: 1, sigma: 0 };

export interface Arrows {
  /** Places and vectors (n, 2) in units of the picture, and how visible each is, from 0 to 1. */
  at: Float32Array;
  vector: Float32Array;
  strength: Float32Array;
  colour: string;
}

/** Lines through points (x, y) in units of the picture. */
export interface Contour {
  lines: [number, number][][];
  colour: string;
  dashed: boolean;
}

/** A heat map of m × m values from 0 to 1, the first row at the bottom, in one hue. */
export interface Heat {
  values: Float32Array;
  m: number;
  colour: string;
}

export interface Scene {
  position: number;
  steps: number;
  /** The colour at the end: of what was generated, or of real data. */
  end: "made" | "real" | "answer";
  showReal: boolean;
  showPoints: boolean;
  arrows: Arrows | null;
  contours: Contour[];
  heat: Heat | null;
  path: Path | null;
  /** The point that is asked about, in units of the picture. */
  probe: [number, number] | null;
  corner: string;
  /** What is being drawn: strokes in units of the picture, and the deviation of their ink. */
  ink: { strokes: [number, number][][]; width: number; classes: number[] } | null;
}

/** The picture, square, drawn when something changes. */
export class Stage {
  readonly element: HTMLElement;
  private readonly layer: PointLayer;
  private readonly over: HTMLCanvasElement;
  private scene: Scene | null = null;
  private waiting = false;
  private n = 0;
  private heatOf: Heat | null = null;
  private heatColour = "";

  constructor(
    public display: Display,
    webgl: boolean,
  ) {
    this.layer = pointLayer(() => this.redraw(), webgl);
    this.over = h("canvas");
    this.element = h("div", { class: "stage", tabindex: 0, role: "application" }, this.layer.canvas, this.over);
    new ResizeObserver(() => this.redraw()).observe(this.element);
  }

  get webgl(): boolean {
    return this.layer.webgl;
  }

  /** Lose the context and get it back, as a browser may; for tests. */
  get canvas(): HTMLCanvasElement {
    return this.layer.canvas;
  }

  /** What is seen now, as the address of an image. */
  picture(): string {
    const whole = h("canvas", { width: this.over.width, height: this.over.height });
    const context = whole.getContext("2d")!;
    for (const canvas of [this.layer.canvas, this.over]) context.drawImage(canvas, 0, 0);
    return whole.toDataURL();
  }

  setStates(states: Float32Array, n: number): void {
    this.n = n;
    this.layer.setStates(states, n);
  }

  /** Real points (n, 2) in the units of the model, with their classes. */
  setReal(x: Float32Array, labels: ArrayLike<number>): void {
    const y = shown(this.display, CLEAN, x);
    const of = (other: boolean): number[] => Array.from(y).filter((_, i) => (labels[i >> 1] ?? 0) > 0 === other);
    const first = of(false);
    this.layer.setReal(Float32Array.from([...first, ...of(true)]), first.length / 2);
  }

  show(scene: Scene): void {
    this.scene = scene;
    if (scene.heat && (scene.heat !== this.heatOf || this.heatColour !== colour(scene.heat.colour))) this.bake(scene.heat);
    this.redraw();
  }

  redraw(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  private bake(heat: Heat): void {
    this.heatOf = heat;
    this.heatColour = colour(heat.colour);
    const [r, g, b] = rgb(this.heatColour);
    const pixels = new Uint8Array(4 * heat.m * heat.m);
    heat.values.forEach((value, i) => {
      const alpha = 0.62 * Math.max(0, Math.min(1, value));
      pixels.set([255 * r * alpha, 255 * g * alpha, 255 * b * alpha, 255 * alpha], 4 * i);
    });
    this.layer.setHeat(pixels, heat.m);
  }

  /** The place of a pointer, in units of the picture. */
  place(event: MouseEvent): [number, number] {
    const box = this.element.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return [(2 * x - 1) * EXTENT, (1 - 2 * y) * EXTENT];
  }

  private draw(): void {
    const { scene } = this;
    const size = this.element.clientWidth;
    if (!scene || !size) return;
    const scale = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of [this.layer.canvas, this.over]) {
      const pixels = Math.round(size * scale);
      if (canvas.width !== pixels) [canvas.width, canvas.height] = [pixels, pixels];
    }
    const part = scene.steps ? Math.min(1, scene.position / scene.steps) : 1;
    const [from, to] = [rgb(colour("noise")), rgb(colour(scene.end))];
    const dense = Math.min(1, Math.sqrt(1500 / Math.max(this.n, 1)));
    this.layer.draw({
      position: scene.position,
      colour: [0, 1, 2].map((i) => from[i]! + (to[i]! - from[i]!) * part) as [number, number, number],
      alpha: !scene.showPoints ? 0 : (scene.path ? 0.25 : scene.arrows || scene.contours.length ? 0.45 : 0.7) * Math.max(0.5, dense),
      size: scale * Math.max(2.2, size / 190) * Math.max(0.7, dense),
      real: scene.showReal
        ? { colours: CLASS_COLOURS.map((name) => rgb(colour(name))), alpha: scene.path ? 0.12 : 0.22, size: scale * Math.max(1.8, size / 260) }
        : null,
      heat: scene.heat !== null,
    });
    this.drawOver(scene, size, scale);
    this.element.dataset["frame"] = String(Number(this.element.dataset["frame"] ?? 0) + 1);
  }

  private drawOver(scene: Scene, size: number, scale: number): void {
    const c = this.over.getContext("2d")!;
    c.setTransform(scale, 0, 0, scale, 0, 0);
    c.clearRect(0, 0, size, size);
    const px = (x: number): number => ((x / EXTENT + 1) / 2) * size;
    const py = (y: number): number => ((1 - y / EXTENT) / 2) * size;
    if (scene.ink) this.drawInk(c, scene.ink, (scene.ink.width / EXTENT / 2) * size, px, py);
    if (scene.arrows) this.drawArrows(c, scene.arrows, px, py);
    for (const one of scene.contours) this.drawContour(c, one, px, py);
    if (scene.path) this.drawPath(c, scene.path, px, py);
    if (scene.probe) {
      const [x, y] = [px(scene.probe[0]), py(scene.probe[1])];
      c.strokeStyle = colour("ink");
      c.lineWidth = 1.5;
      c.beginPath();
      c.arc(x, y, 7, 0, 7);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
        c.moveTo(x + 4 * dx, y + 4 * dy);
        c.lineTo(x + 12 * dx, y + 12 * dy);
      }
      c.stroke();
    }
    c.font = "13px system-ui, sans-serif";
    c.fillStyle = colour("muted");
    c.textAlign = "left";
    c.fillText(scene.corner, 12, size - 12);
  }

  /** Ink is Gaussian: shown as lines of one, two and three deviations to each side. */
  private drawInk(
    c: CanvasRenderingContext2D,
    { strokes, classes }: NonNullable<Scene["ink"]>,
    deviation: number,
    px: (x: number) => number,
    py: (y: number) => number,
  ): void {
    c.lineCap = "round";
    c.lineJoin = "round";
    for (const [deviations, alpha] of [[3, 0.1], [2, 0.18], [1, 0.45]] as const) {
      c.lineWidth = 2 * deviations * deviation;
      c.globalAlpha = alpha;
      strokes.forEach((stroke, i) => {
        c.strokeStyle = colour(CLASS_COLOURS[classes[i] ?? 0]!);
        c.beginPath();
        c.moveTo(px(stroke[0]![0]) - 0.01, py(stroke[0]![1])); // a line without length is not drawn
        for (const [x, y] of stroke) c.lineTo(px(x), py(y));
        c.stroke();
      });
    }
    c.globalAlpha = 1;
    c.lineCap = "butt";
    c.lineJoin = "miter";
  }

  private drawArrows(c: CanvasRenderingContext2D, arrows: Arrows, px: (x: number) => number, py: (y: number) => number): void {
    c.strokeStyle = c.fillStyle = colour(arrows.colour);
    c.lineWidth = 1.3;
    for (let i = 0; i < arrows.strength.length; i++) {
      const strength = arrows.strength[i]!;
      if (strength < 0.04) continue;
      const [x, y] = [arrows.at[2 * i]!, arrows.at[2 * i + 1]!];
      const [vx, vy] = [arrows.vector[2 * i]!, arrows.vector[2 * i + 1]!];
      const [ax, ay] = [px(x - vx / 2), py(y - vy / 2)];
      const [bx, by] = [px(x + vx / 2), py(y + vy / 2)];
      const length = Math.hypot(bx - ax, by - ay);
      if (length < 1.2) continue;
      c.globalAlpha = strength;
      const [ux, uy] = [(bx - ax) / length, (by - ay) / length];
      const head = Math.min(5, length * 0.45);
      c.beginPath();
      c.moveTo(ax, ay);
      c.lineTo(bx - ux * head * 0.8, by - uy * head * 0.8);
      c.stroke();
      c.beginPath();
      c.moveTo(bx, by);
      c.lineTo(bx - head * (ux - 0.55 * uy), by - head * (uy + 0.55 * ux));
      c.lineTo(bx - head * (ux + 0.55 * uy), by - head * (uy - 0.55 * ux));
      c.fill();
    }
    c.globalAlpha = 1;
  }

  private drawContour(
    c: CanvasRenderingContext2D,
    { lines, colour: stroke, dashed }: Contour,
    px: (x: number) => number,
    py: (y: number) => number,
  ): void {
    c.strokeStyle = colour(stroke);
    c.lineWidth = 1.6;
    c.setLineDash(dashed ? [6, 5] : []);
    for (const line of lines) {
      c.beginPath();
      for (const [x, y] of line) c.lineTo(px(x), py(y));
      c.stroke();
    }
    c.setLineDash([]);
  }

  private drawPath(c: CanvasRenderingContext2D, path: Path, px: (x: number) => number, py: (y: number) => number): void {
    const cloud = shown(this.display, CLEAN, path.posterior);
    c.fillStyle = colour("answer");
    c.globalAlpha = 0.75;
    for (let i = 0; i < cloud.length; i += 2) {
      c.beginPath();
      c.arc(px(cloud[i]!), py(cloud[i + 1]!), 1.7, 0, 7);
      c.fill();
    }
    c.globalAlpha = 1;
    const along = (states: Float32Array): [number, number][] =>
      path.levels.map((level, i) => {
        const [x, y] = shown(this.display, level, states.subarray(2 * i, 2 * i + 2));
        return [px(x!), py(y!)];
      });
    const [learned, exact] = [along(path.learned), along(path.exact)];
    const line = (points: [number, number][], stroke: string, width: number, dash: number[] = []): void => {
      c.strokeStyle = stroke;
      c.lineWidth = width;
      c.setLineDash(dash);
      c.beginPath();
      for (const [x, y] of points) c.lineTo(x, y);
      c.stroke();
      c.setLineDash([]);
    };
    for (const points of [learned, exact]) line(points, colour("card"), 6);
    line(learned, colour("made"), 3);
    line(exact, colour("real"), 2.2, [6, 5]); // above, so that both are seen where they agree
    this.marker(c, ...learned.at(-1)!, colour("made"), false);
    this.marker(c, ...exact.at(-1)!, colour("real"), true);
    const [mx, my] = shown(this.display, CLEAN, Float32Array.from(path.mean));
    c.strokeStyle = colour("ink");
    c.fillStyle = colour("answer");
    c.lineWidth = 1.5;
    c.beginPath();
    c.arc(px(mx!), py(my!), 5.5, 0, 7);
    c.fill();
    c.stroke();
  }

  /** A disc for what was learned, a diamond for what is exact. */
  private marker(c: CanvasRenderingContext2D, x: number, y: number, fill: string, diamond: boolean): void {
    c.fillStyle = fill;
    c.strokeStyle = colour("page");
    c.lineWidth = 1.5;
    c.beginPath();
    if (diamond) {
      for (const [dx, dy] of [[0, -7], [7, 0], [0, 7], [-7, 0]] as const) c.lineTo(x + dx, y + dy);
      c.closePath();
    } else {
      c.arc(x, y, 5.5, 0, 7);
    }
    c.fill();
    c.stroke();
  }
}
