// Are the lines around shares of the points where they are of a law that is known?

import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../src/engine/random.js";
import { contour, counted, smoothed, thresholds } from "../src/view/densities.js";
import { EXTENT } from "../src/view/points.js";

const M = 64;
const cell = (2 * EXTENT) / M;

function normal(deviation: number): Float64Array {
  const place = (i: number): number => ((2 * (i + 0.5)) / M - 1) * EXTENT;
  const map = new Float64Array(M * M);
  for (let row = 0; row < M; row++) {
    for (let i = 0; i < M; i++) map[row * M + i] = Math.exp(-(place(i) ** 2 + place(row) ** 2) / (2 * deviation ** 2));
  }
  const total = map.reduce((a, b) => a + b);
  return map.map((v) => v / total);
}

test("half of a normal law lies inside of a circle", () => {
  const map = normal(0.8);
  for (const share of [0.25, 0.5, 0.75, 0.95]) {
    const [value] = thresholds(map, [share]);
    const [line, ...others] = contour(map, M, 1.0001 * value!); // not at a value of the map
    assert.equal(others.length, 0);
    assert.ok(line!.length > 20);
    const radius = 0.8 * Math.sqrt(-2 * Math.log(1 - share));
    for (const [x, y] of line!) assert.ok(Math.abs(Math.hypot(x, y) - radius) < 0.6 * cell, `${share}`);
  }
});

test("lines are closed where the map is low at its edge", () => {
  const map = normal(0.7).map((v, i) => v * (1 + 0.4 * Math.sin(i)));
  const lines = contour(map, M, 1.0001 * thresholds(map, [0.6])[0]!);
  assert.ok(lines.length > 1);
  for (const line of lines) assert.deepEqual(line.at(-1), line[0]);
});

test("points are counted where they are, and smoothing loses none inside", () => {
  const random = new Random(3, "points");
  const points = Float32Array.from({ length: 20_000 }, () => 0.5 * random.normal());
  const map = counted(points, M);
  assert.ok(Math.abs(map.reduce((a, b) => a + b) - 1) < 1e-9);
  const soft = smoothed(map, M);
  assert.ok(Math.abs(soft.reduce((a, b) => a + b) - 1) < 1e-6);
  const exact = smoothed(normal(0.5), M);
  assert.ok(soft.reduce((a, v, i) => a + Math.abs(v - exact[i]!), 0) < 0.15);
  const outside = counted(Float32Array.from([9, 9, 0, 0]), M);
  assert.equal(outside.reduce((a, b) => a + b), 0.5);
});
