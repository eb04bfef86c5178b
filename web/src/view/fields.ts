// How does an answer of the network become arrows and a heat map?

import type { Display, Field } from "../engine/protocol.js";
import type { Level } from "../engine/schedules.js";
import { EXTENT } from "./points.js";
import { unshown, widthAt, type Arrows, type Contour, type Heat } from "./stage.js";

export type FieldKind = "none" | "score" | "velocity" | "density";
export type Side = "learned" | "exact" | "difference";

/** What is drawn of a field, with the largest error, or density, where points are. */
export interface Drawn {
  arrows: Arrows | null;
  contours: Contour[];
  heat: Heat;
  most: number;
}

/** Cells of the heat map, along an axis. */
export const M = 56;
const EVERY = 3; // grid points between arrows
const SPACE = ((2 * EXTENT) / M) * EVERY;

/** The points (m², 2) of the heat map in units of the picture, the first row at the bottom. */
export function gridPoints(): Float32Array {
  const y = new Float32Array(2 * M * M);
  for (let row = 0; row < M; row++) {
    for (let i = 0; i < M; i++) {
      y[2 * (row * M + i)] = ((2 * (i + 0.5)) / M - 1) * EXTENT;
      y[2 * (row * M + i) + 1] = ((2 * (row + 0.5)) / M - 1) * EXTENT;
    }
  }
  return y;
}

/** These points in the units of the model. */
export const gridInModel = (display: Display, level: Level): Float32Array => unshown(display, level, gridPoints());

/**
 * The vectors of a field in units of the picture, from estimates of x_0.
 *
 * The score times σ is -ε̂. With y = cos φ z_0 + sin φ ε, z_0 the data in units of the picture, points move on
 * the way to data by -dy/dφ = sin φ ẑ_0 - cos φ ε̂.
 */
function vectors(kind: FieldKind, display: Display, level: Level, x: Float32Array, x0: Float32Array): Float32Array {
  const width = widthAt(display, level);
  const [cos, sin] = [(level.alpha * display.spread) / width, level.sigma / width];
  return x.map((value, i) => {
    const eps = (value - level.alpha * x0[i]!) / level.sigma;
    if (kind === "score") return -eps;
    return sin * ((x0[i]! - display.middle[i % 2]!) / display.spread) - cos * eps;
  });
}

/** What is drawn of the vectors of a field. */
export function drawn(kind: FieldKind, side: Side, display: Display, level: Level, field: Field): Drawn {
  const y = gridPoints();
  const x = unshown(display, level, y);
  const learned = vectors(kind, display, level, x, field.learned);
  const exact = vectors(kind, display, level, x, field.exact);
  const logs = Array.from(field.logDensity);
  const top = logs.reduce((a, b) => Math.max(a, b), -Infinity);
  // 1 where points are, 0 where none ever comes
  const visited = Float32Array.from(logs, (v) => Math.max(0, Math.min(1, (v - top + 7) / 5)));
  const vector =
    side === "learned" ? learned : side === "exact" ? exact : learned.map((v, i) => v - exact[i]!);
  const size = Float32Array.from(visited, (_, i) => Math.hypot(vector[2 * i]!, vector[2 * i + 1]!));
  const most = size.reduce((a, v, i) => Math.max(a, visited[i]! > 0.5 ? v : 0), 1e-9);
  const wrong = side === "difference";
  const values = wrong
    ? size.map((v, i) => visited[i]! * Math.min(1, v / most) ** 0.8)
    : Float32Array.from(logs, (v) => Math.exp(v - top) ** 0.6);

  const at: number[] = [];
  const ends: number[] = [];
  const strength: number[] = [];
  for (let row = 1; row < M; row += EVERY) {
    for (let i = 1; i < M; i += EVERY) {
      const j = row * M + i;
      const length = size[j]! || 1e-9;
      const part = wrong ? Math.min(1, length / most) ** 0.6 : Math.tanh((1.5 * length) / most);
      at.push(y[2 * j]!, y[2 * j + 1]!);
      for (const d of [0, 1]) ends.push(((vector[2 * j + d]! / length) * part * SPACE) / 1.15);
      strength.push(wrong ? 0.95 * visited[j]! : 0.25 + 0.65 * visited[j]!);
    }
  }
  return {
    arrows: {
      at: Float32Array.from(at),
      vector: Float32Array.from(ends),
      strength: Float32Array.from(strength),
      colour: wrong ? "ink" : side === "learned" ? "made" : "arrow",
    },
    contours: [],
    heat: { values, m: M, colour: wrong ? "wrong" : "density" },
    most,
  };
}
