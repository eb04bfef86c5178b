// Where are points at a noise level? Lines around given shares of them, of samples and of the exact law.

import type { Display, Field } from "../engine/protocol.js";
import type { Level } from "../engine/schedules.js";
import { M, type Drawn, type Side } from "./fields.js";
import { EXTENT } from "./points.js";
import { shown, type Contour } from "./stage.js";

/** The shares of the points that lie inside of the lines. */
export const SHARES = [0.25, 0.5, 0.75, 0.95];
const REACH = 3; // cells to each side that a point is spread over
const WIDTH = 1.1; // deviation of the smoothing, in cells: that of both densities, so that they can be compared

/** Smooth a map (m, m), a row after the other, with the same kernel along both axes. */
export function smoothed(values: Float64Array, m: number): Float64Array {
  const kernel = Array.from({ length: 2 * REACH + 1 }, (_, k) => Math.exp(-0.5 * ((k - REACH) / WIDTH) ** 2));
  const total = kernel.reduce((a, b) => a + b);
  const along = (from: Float64Array, step: number, across: number): Float64Array => {
    const to = new Float64Array(m * m);
    for (let line = 0; line < m; line++) {
      for (let i = 0; i < m; i++) {
        const value = from[line * across + i * step]!;
        if (value === 0) continue;
        for (let k = Math.max(-REACH, -i); k <= Math.min(REACH, m - 1 - i); k++) {
          to[line * across + (i + k) * step]! += (value * kernel[k + REACH]!) / total;
        }
      }
    }
    return to;
  };
  return along(along(values, 1, m), m, 1);
}

/** The share of points (n, 2) in units of the picture that is in each cell, the first row at the bottom. */
export function counted(points: Float32Array, m: number): Float64Array {
  const shares = new Float64Array(m * m);
  const n = points.length / 2;
  for (let j = 0; j < n; j++) {
    const i = Math.floor(((points[2 * j]! / EXTENT + 1) / 2) * m);
    const row = Math.floor(((points[2 * j + 1]! / EXTENT + 1) / 2) * m);
    if (i >= 0 && i < m && row >= 0 && row < m) shares[row * m + i]! += 1 / n;
  }
  return shares;
}

/** The values above which these shares of all are. */
export function thresholds(density: Float64Array, shares: number[]): number[] {
  const sorted = Float64Array.from(density).sort().reverse();
  const total = sorted.reduce((a, b) => a + b, 0);
  return shares.map((share) => {
    let sum = 0;
    for (const value of sorted) {
      sum += value;
      if (sum >= share * total) return value;
    }
    return 0;
  });
}

/** The lines on which a map (m, m) has a value, each as points (x, y) in units of the picture. */
export function contour(map: Float64Array, m: number, value: number): [number, number][][] {
  const place = (i: number): number => ((2 * (i + 0.5)) / m - 1) * EXTENT;
  const pieces: Piece[] = [];
  for (let row = 0; row + 1 < m; row++) {
    for (let i = 0; i + 1 < m; i++) {
      const corners = [map[row * m + i]!, map[row * m + i + 1]!, map[(row + 1) * m + i + 1]!, map[(row + 1) * m + i]!];
      const above = corners.map((v) => v > value);
      const crossings: [number, number][] = [];
      for (let side = 0; side < 4; side++) {
        const next = (side + 1) % 4;
        if (above[side] === above[next]) continue;
        const part = (value - corners[side]!) / (corners[next]! - corners[side]!);
        const [x, y] = [[part, 0], [1, part], [1 - part, 1], [0, 1 - part]][side]!;
        crossings.push([place(i + x!), place(row + y!)]);
      }
      // Four crossings are a saddle: its mean says which corners belong together.
      const middle = corners.reduce((a, b) => a + b) / 4 > value;
      const turned = crossings.length === 4 && middle === above[0] ? [...crossings.slice(1), crossings[0]!] : crossings;
      for (let k = 0; k + 1 < turned.length; k += 2) pieces.push([turned[k]!, turned[k + 1]!]);
    }
  }
  return joined(pieces);
}

type Piece = [[number, number], [number, number]];

/** Join pieces that share an end to lines. */
function joined(pieces: Piece[]): [number, number][][] {
  const name = ([x, y]: [number, number]): string => `${x.toFixed(5)} ${y.toFixed(5)}`;
  const at = new Map<string, Set<Piece>>();
  for (const piece of pieces) {
    for (const end of piece) {
      const those = at.get(name(end)) ?? new Set();
      at.set(name(end), those.add(piece));
    }
  }
  const left = new Set(pieces);
  /** Go on from the end of a line for as long as there are pieces. */
  const follow = (line: [number, number][]): [number, number][] => {
    for (;;) {
      const end = name(line.at(-1)!);
      const piece = [...(at.get(end) ?? [])].find((one) => left.has(one));
      if (!piece) return line;
      left.delete(piece);
      line.push(name(piece[0]) === end ? piece[1] : piece[0]);
    }
  };
  const lines: [number, number][][] = [];
  for (const piece of pieces) {
    if (!left.delete(piece)) continue;
    lines.push(follow(follow([...piece]).reverse()));
  }
  return lines;
}

/** What is drawn of the densities at a level: of samples (n, 2) in the units of the model, and of the law. */
export function drawnDensity(side: Side, display: Display, level: Level, field: Field, samples: Float32Array): Drawn {
  const logs = Float64Array.from(field.logDensity);
  const top = logs.reduce((a, b) => Math.max(a, b), -Infinity);
  const law = logs.map((v) => Math.exp(v - top));
  const total = law.reduce((a, b) => a + b, 0);
  const exact = smoothed(law.map((v) => v / total), M);
  const learned = smoothed(counted(shown(display, level, samples), M), M);
  const contours: Contour[] = [];
  for (const [whose, density, colour, dashed] of [
    ["learned", learned, "made", false],
    ["exact", exact, "real", true],
  ] as const) {
    if (side !== whose && side !== "difference") continue;
    for (const value of thresholds(density, SHARES)) contours.push({ lines: contour(density, M, value), colour, dashed });
  }
  const map = side === "difference" ? learned.map((v, i) => Math.abs(v - exact[i]!)) : side === "learned" ? learned : exact;
  const most = Math.max(...(side === "difference" ? exact : map), 1e-12);
  const values = Float32Array.from(map, (v) => Math.min(1, v / most) ** 0.6);
  return { arrows: null, contours, heat: { values, m: M, colour: side === "difference" ? "wrong" : "density" }, most };
}
