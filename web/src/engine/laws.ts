// Which law do the points come from? Curves with Gaussian ink, Gaussian mixtures, boxes, or a finite set.
// The built-in sets are those of diffuscope/data/points/toy.py.

import { gaussLegendre } from "./quadrature.js";
import type { Random } from "./random.js";

export type Point = [number, number];

/** What a law is, as plain data, in the units of the data. */
export type LawSpec =
  | { kind: "builtin"; name: string; noise: number }
  | { kind: "mixture"; means: Point[]; variances: Point[]; weights: number[] }
  | { kind: "strokes"; strokes: Point[][]; noise: number; classes?: number[] }
  | { kind: "points"; points: Float32Array };

/** z in [start, stop] maps to a point of a curve; `speed` is the largest |dc/dz|. */
export interface Piece {
  start: number;
  stop: number;
  curve: (z: number) => Point;
  density: (z: number) => number;
  speed: number;
  /** One of many short ones: a few nodes are enough. */
  short?: boolean;
  /** The class of its points. */
  label?: number;
}

/** Components of a mixture with one variance for each axis; `weight` sums to 1. */
export interface Components {
  x: Float64Array;
  y: Float64Array;
  weight: Float64Array;
  /** Variance of all components along x and y; (k, 2) where each has its own. */
  variance: Point;
}

/** The built-in sets, each with its own noise. */
export const BUILT_IN: Readonly<Record<string, number>> = {
  s_curve: 0.1, swiss_roll: 0.5, moons: 0.1, circles: 0.08, eight_gaussians: Math.SQRT1_2 / 2, checkerboard: 0,
  pinwheel: 0.2, two_spirals: 0.1,
};

export interface Box {
  low: Point;
  high: Point;
}

const PI = Math.PI;
const even = (): number => 1;

function curvesOf(name: string): Piece[] | null {
  switch (name) {
    case "s_curve":
      return [-1, 1].map((sign) => ({
        start: sign < 0 ? -1.5 * PI : 0,
        stop: sign < 0 ? 0 : 1.5 * PI,
        curve: (t) => [Math.sin(t), sign * (Math.cos(t) - 1)],
        density: even,
        speed: 1,
      }));
    case "swiss_roll":
      return [1.5, 2.5, 3.5].map((i) => ({
        start: i * PI,
        stop: (i + 1) * PI,
        curve: (t) => [t * Math.cos(t), t * Math.sin(t)],
        density: even,
        speed: Math.hypot(1, (i + 1) * PI),
      }));
    case "moons":
      return [
        { start: 0, stop: PI, curve: (t) => [Math.cos(t), Math.sin(t)], density: even, speed: 1 },
        { start: 0, stop: PI, curve: (t) => [1 - Math.cos(t), 0.5 - Math.sin(t)], density: even, speed: 1 },
      ];
    case "circles":
      return [0.5, 1].map((r) => ({
        start: 0,
        stop: 2 * PI,
        curve: (t) => [r * Math.cos(t), r * Math.sin(t)],
        density: even,
        speed: r,
      }));
    case "pinwheel": {
      const edges = [-6, 0, 2, 3, 4, 5, 6];
      const speed = (z: number): number => {
        const r = 1 + 0.3 * z;
        return 0.6 * Math.hypot(1, 0.25 * r * Math.exp(r));
      };
      return [0, 1, 2, 3, 4].flatMap((k) =>
        edges.slice(1).map((stop, i) => ({
          start: edges[i]!,
          stop,
          curve: (z: number): Point => {
            const r = 1 + 0.3 * z;
            const theta = -(((2 * PI) / 5) * k + 0.25 * Math.exp(r));
            return [2 * r * Math.cos(theta), 2 * r * Math.sin(theta)];
          },
          density: (z: number) => Math.exp(-0.5 * z * z),
          speed: Math.max(speed(edges[i]!), speed(stop)),
        })),
      );
    }
    case "two_spirals":
      return [-1, 1].flatMap((sign) =>
        [0, 1, 2].map((i) => ({
          start: i * PI,
          stop: (i + 1) * PI,
          curve: (t: number): Point => [(sign * t * -Math.cos(t)) / 3, (sign * t * Math.sin(t)) / 3],
          density: (t: number) => t,
          speed: Math.hypot(1, (i + 1) * PI) / 3,
        })),
      );
    default:
      return null;
  }
}

/** A single point has as much ink as a stroke of this length. */
const DOT = 0.5;

const dot = (at: Point): Piece => ({ start: 0, stop: DOT, curve: () => at, density: even, speed: 0, short: true });

/** Straight pieces between the points of strokes, with even ink along them. */
function strokePieces(strokes: Point[][], classes: number[]): Piece[] {
  const pieces = (stroke: Point[]): Piece[] =>
    stroke.length === 1 ? [dot(stroke[0]!)] : stroke.slice(1).flatMap((to, i) => {
      const from = stroke[i]!;
      const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
      if (!(length > 0)) return [];
      const curve = (z: number): Point => [
        from[0] + (z / length) * (to[0] - from[0]),
        from[1] + (z / length) * (to[1] - from[1]),
      ];
      return [{ start: 0, stop: length, curve, density: even, speed: 1, short: true }];
    });
  return strokes.flatMap((stroke, i) => pieces(stroke).map((piece) => ({ ...piece, label: classes[i] ?? 0 })));
}

/** The laws of the classes of a law; none where it has no two of them. */
export function lawsOfClasses(spec: LawSpec): Law[] {
  const classes = spec.kind === "strokes" ? (spec.classes ?? []) : [];
  const count = new Set(classes).size;
  if (spec.kind !== "strokes" || count < 2) return [];
  return Array.from({ length: count }, (_, k) => new Law({ ...spec, strokes: spec.strokes.filter((_, i) => classes[i] === k), classes: [] }));
}

// Largest distance of nodes in deviations of the Gaussian around them, and nodes in a panel.
const SPACING = 0.9;
const NODES = 32;

/** Points and weights of a rule with nodes at most `spacing` apart along a piece; short pieces take few. */
function rule(piece: Piece, spacing: number, out: { x: number[]; y: number[]; weight: number[] }): void {
  const length = piece.speed * (piece.stop - piece.start);
  let nodes = NODES;
  let panels = Math.max(1, Math.ceil(((PI / 2) * length) / (NODES * spacing)));
  if (piece.short && length < 16 * spacing) {
    [nodes, panels] = [Math.ceil(((PI / 2) * length) / spacing) + 3, 1];
  }
  const [at, weights] = gaussLegendre(nodes);
  const half = (piece.stop - piece.start) / panels / 2;
  for (let panel = 0; panel < panels; panel++) {
    const middle = piece.start + (2 * panel + 1) * half;
    for (let i = 0; i < nodes; i++) {
      const z = middle + half * at[i]!;
      const [x, y] = piece.curve(z);
      out.x.push(x);
      out.y.push(y);
      out.weight.push(half * weights[i]! * piece.density(z));
    }
  }
}

/** Tables for drawing z of a piece by its density. */
interface Cumulative {
  piece: Piece;
  upTo: Float64Array;
}

const CELLS = 1024;

function cumulative(piece: Piece): Cumulative {
  const upTo = new Float64Array(CELLS + 1);
  const step = (piece.stop - piece.start) / CELLS;
  for (let i = 0; i < CELLS; i++) {
    upTo[i + 1] = upTo[i]! + step * piece.density(piece.start + (i + 0.5) * step);
  }
  return { piece, upTo };
}

/** The index i with table[i] <= value < table[i + 1]. */
function cell(table: ArrayLike<number>, value: number): number {
  let [low, high] = [0, table.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (table[middle]! <= value) low = middle;
    else high = middle;
  }
  return low;
}

/** A law of points in the units of the data, which can be drawn from. */
export class Law {
  readonly noise: number;
  readonly boxes: Box[] | null = null;
  /** Whether the law is a finite set: then its draws are its points again. */
  readonly finite: boolean;
  private readonly pieces: Piece[] | null = null;
  private readonly mixture: { means: Point[]; variances: Point[]; weights: number[] } | null = null;
  private readonly points: Float32Array | null = null;
  private tables: Cumulative[] | null = null;
  private readonly rules = new Map<number, Components>();

  constructor(readonly spec: LawSpec) {
    this.finite = spec.kind === "points";
    this.noise = spec.kind === "builtin" || spec.kind === "strokes" ? spec.noise : 0;
    if (spec.kind === "points") this.points = spec.points;
    else if (spec.kind === "mixture") this.mixture = spec;
    else if (spec.kind === "strokes") this.pieces = strokePieces(spec.strokes, spec.classes ?? []);
    else if (spec.name === "eight_gaussians") {
      const angles = [0, 1, 2, 3, 4, 5, 6, 7].map((k) => (k * PI) / 4);
      const r = 2 * Math.SQRT2;
      this.mixture = {
        means: angles.map((a) => [r * Math.cos(a), r * Math.sin(a)]),
        variances: angles.map(() => [spec.noise ** 2, spec.noise ** 2]),
        weights: angles.map(even),
      };
    } else if (spec.name === "checkerboard") {
      const squares = [0, 1, 2, 3].flatMap((i) => [0, 1, 2, 3].map((j) => [i, j] as Point));
      this.boxes = squares
        .filter(([i, j]) => (i + j) % 2 === 0)
        .map(([i, j]) => ({ low: [2 * i - 4, 2 * j - 4], high: [2 * i - 2, 2 * j - 2] }));
    } else {
      this.pieces = curvesOf(spec.name);
      if (!this.pieces) throw new Error(`There is no set ${spec.name} here.`);
    }
  }

  /** The mixture of this law with components so narrow that noise of the deviation `ratio` hides them. */
  components(ratio: number): Components {
    if (this.points) return this.kept(0, () => finiteComponents(this.points!));
    if (this.mixture) return this.kept(0, () => mixtureComponents(this.mixture!));
    const width = Math.hypot(this.noise, ratio);
    const quarters = Math.floor(4 * Math.log2(Math.min(Math.max(width, 1e-6), 1e6)));
    return this.kept(quarters, () => {
      const out = { x: [] as number[], y: [] as number[], weight: [] as number[] };
      for (const piece of this.pieces!) rule(piece, SPACING * 2 ** (quarters / 4), out);
      const total = out.weight.reduce((a, b) => a + b, 0);
      return {
        x: Float64Array.from(out.x),
        y: Float64Array.from(out.y),
        weight: Float64Array.from(out.weight, (w) => w / total),
        variance: [this.noise ** 2, this.noise ** 2],
      };
    });
  }

  private kept(key: number, make: () => Components): Components {
    let found = this.rules.get(key);
    if (!found) {
      found = make();
      this.rules.set(key, found);
    }
    return found;
  }

  /** Fresh draws (n, 2) in the units of the data; of a finite set, its points at random. Their classes go to `labels`. */
  draw(n: number, random: Random, labels?: Uint8Array): Float32Array {
    const out = new Float32Array(2 * n);
    for (let i = 0; i < n; i++) {
      const [x, y] = this.one(random);
      out[2 * i] = x;
      out[2 * i + 1] = y;
      if (labels) labels[i] = this.label;
    }
    return out;
  }

  /** Of the last point that was drawn. */
  private label = 0;

  private one(random: Random): Point {
    if (this.points) {
      const i = random.below(this.points.length / 2);
      return [this.points[2 * i]!, this.points[2 * i + 1]!];
    }
    if (this.boxes) {
      const box = this.boxes[random.below(this.boxes.length)]!;
      return [0, 1].map(
        (d) => box.low[d]! + random.uniform() * (box.high[d]! - box.low[d]!) + this.noise * random.normal(),
      ) as Point;
    }
    if (this.mixture) {
      const { means, variances, weights } = this.mixture;
      const total = weights.reduce((a, b) => a + b, 0);
      let [at, i] = [random.uniform() * total, 0];
      while (i < weights.length - 1 && at >= weights[i]!) at -= weights[i++]!;
      return [0, 1].map((d) => means[i]![d]! + Math.sqrt(variances[i]![d]!) * random.normal()) as Point;
    }
    this.tables ??= this.pieces!.map(cumulative);
    let at = random.uniform() * this.tables.reduce((sum, table) => sum + table.upTo[CELLS]!, 0);
    let i = 0;
    while (i < this.tables.length - 1 && at >= this.tables[i]!.upTo[CELLS]!) at -= this.tables[i++]!.upTo[CELLS]!;
    const { piece, upTo } = this.tables[i]!;
    this.label = piece.label ?? 0;
    const j = cell(upTo, at);
    const part = (at - upTo[j]!) / (upTo[j + 1]! - upTo[j]! || 1);
    const [x, y] = piece.curve(piece.start + ((j + Math.min(1, part)) * (piece.stop - piece.start)) / CELLS);
    return [x + this.noise * random.normal(), y + this.noise * random.normal()];
  }
}

function finiteComponents(points: Float32Array): Components {
  const k = points.length / 2;
  return {
    x: Float64Array.from({ length: k }, (_, i) => points[2 * i]!),
    y: Float64Array.from({ length: k }, (_, i) => points[2 * i + 1]!),
    weight: new Float64Array(k).fill(1 / k),
    variance: [0, 0],
  };
}

// Components of one shared width only: unlike ones are each a cloud of narrower ones (Gauss-Hermite by halves).
function mixtureComponents(mixture: { means: Point[]; variances: Point[]; weights: number[] }): Components {
  const least: Point = [0, 1].map((d) => Math.min(...mixture.variances.map((v) => v[d]!))) as Point;
  const total = mixture.weights.reduce((a, b) => a + b, 0);
  const out = { x: [] as number[], y: [] as number[], weight: [] as number[] };
  mixture.means.forEach((mean, i) => {
    const rest = [0, 1].map((d) => Math.sqrt(Math.max(0, mixture.variances[i]![d]! - least[d]!)));
    const nodes = rest.map((deviation, d) => spread(deviation, Math.sqrt(least[d]!)));
    for (const [dx, wx] of nodes[0]!) {
      for (const [dy, wy] of nodes[1]!) {
        out.x.push(mean[0] + dx);
        out.y.push(mean[1] + dy);
        out.weight.push((mixture.weights[i]! / total) * wx * wy);
      }
    }
  });
  return {
    x: Float64Array.from(out.x),
    y: Float64Array.from(out.y),
    weight: Float64Array.from(out.weight),
    variance: least,
  };
}

/** Nodes of a Gaussian of this deviation, at most 0.9 of the width of the kernel apart, with weights. */
function spread(deviation: number, width: number): Point[] {
  if (deviation === 0) return [[0, 1]];
  const step = Math.min(SPACING * width, deviation / 2);
  const m = Math.min(40, Math.ceil((6 * deviation) / step));
  const nodes = Array.from({ length: 2 * m + 1 }, (_, i) => (i - m) * ((6 * deviation) / m));
  const weights = nodes.map((z) => Math.exp((-0.5 * z * z) / deviation ** 2));
  const total = weights.reduce((a, b) => a + b, 0);
  return nodes.map((z, i) => [z, weights[i]! / total]);
}
