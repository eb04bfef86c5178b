// What does a perfect model of a law predict? E[x_0 | x_t], its posterior, and the density at every level.
//   q(x_t) = Σ_k w_k N(x_t; α m_k, α² C + σ² I),  E[x_0 | x_t] = (α C x_t + σ² Σ_k r_k m_k) / (α² C + σ²)

import type { Denoiser } from "./denoiser.js";
import type { Box, Law, Point } from "./laws.js";
import type { Memory } from "./memory.js";
import { logNormalCdf, normalQuantile } from "./normal.js";
import type { Random } from "./random.js";
import type { Level } from "./schedules.js";

/** The map of the data to the units of the model, z = (x - shift) / scale. */
export interface Scaling {
  shift: Point;
  scale: Point;
}

interface Placed {
  x: Float32Array;
  y: Float32Array;
  logWeight: Float32Array;
  variance: Point;
  k: number;
}

const BLOCK = 1024;
const LOG_2PI = Math.log(2 * Math.PI);

/** The exact denoiser of a law, in the units of the model. */
export class Exact implements Denoiser {
  private readonly placed = new Map<object, Placed>();
  private readonly boxes: Box[] | null;
  private readonly noise: Point;

  constructor(
    private readonly memory: Memory,
    readonly law: Law,
    readonly scaling: Scaling,
  ) {
    const inUnits = (p: Point): Point => [0, 1].map((d) => (p[d]! - scaling.shift[d]!) / scaling.scale[d]!) as Point;
    this.boxes = law.boxes?.map((box) => ({ low: inUnits(box.low), high: inUnits(box.high) })) ?? null;
    this.noise = [law.noise / scaling.scale[0], law.noise / scaling.scale[1]];
  }

  /** Fresh draws (n, 2) in the units of the model. */
  draw(n: number, random: Random): Float32Array {
    const x = this.law.draw(n, random);
    const { shift, scale } = this.scaling;
    for (let i = 0; i < x.length; i++) x[i] = (x[i]! - shift[i % 2]!) / scale[i % 2]!;
    return x;
  }

  /** The components at σ/α, in the units of the model, padded to a multiple of 4. */
  private at(ratio: number): Placed {
    const { shift, scale } = this.scaling;
    const own = this.law.components(ratio * Math.min(scale[0], scale[1]));
    let found = this.placed.get(own);
    if (!found) {
      const k = Math.ceil(own.x.length / 4) * 4;
      const x = new Float32Array(k);
      const y = new Float32Array(k);
      const logWeight = new Float32Array(k).fill(-1e30);
      own.x.forEach((value, i) => {
        x[i] = (value - shift[0]) / scale[0];
        y[i] = (own.y[i]! - shift[1]) / scale[1];
        logWeight[i] = own.weight[i]! > 0 ? Math.log(own.weight[i]!) : -1e30;
      });
      const variance: Point = [own.variance[0] / scale[0] ** 2, own.variance[1] / scale[1] ** 2];
      found = { x, y, logWeight, variance, k };
      this.placed.set(own, found);
    }
    return found;
  }

  denoise(x: Float32Array, level: Level): Float32Array {
    return this.answers(x, () => level, level.sigma / level.alpha).mean;
  }

  /** log q(x_t) (n), in the units of the model. */
  logDensity(x: Float32Array, level: Level): Float64Array {
    return this.answers(x, () => level, level.sigma / level.alpha).logDensity;
  }

  /** As `denoise`, each point at a level of its own. */
  denoiseEach(x: Float32Array, levels: Level[]): Float32Array {
    const least = levels.reduce((low, level) => Math.min(low, level.sigma / level.alpha), Infinity);
    return this.answers(x, (i) => levels[i]!, least).mean;
  }

  private answers(
    x: Float32Array,
    at: (i: number) => Level,
    ratio: number,
  ): { mean: Float32Array; logDensity: Float64Array } {
    const n = x.length / 2;
    const mean = new Float32Array(2 * n);
    const logDensity = new Float64Array(n);
    if (this.boxes) {
      for (let i = 0; i < n; i++) {
        const { mean: own, log } = this.inBoxes([x[2 * i]!, x[2 * i + 1]!], at(i));
        mean.set(own, 2 * i);
        logDensity[i] = log;
      }
      return { mean, logDensity };
    }
    const { memory } = this;
    const components = this.at(ratio);
    const [cx, cy] = components.variance;
    memory.scratch(() => {
      const { k } = components;
      const [mx, my] = [memory.put(components.x), memory.put(components.y)];
      const logw = memory.put(components.logWeight);
      const rows = Math.min(BLOCK, n);
      const [points, alphas, v] = [memory.take(2 * rows), memory.take(rows), memory.take(2 * rows)];
      const [out, mass, scratch] = [memory.take(2 * rows), memory.take(2 * rows), memory.take(k)];
      for (let start = 0; start < n; start += rows) {
        const count = Math.min(rows, n - start);
        memory.view(points, 2 * count).set(x.subarray(2 * start, 2 * (start + count)));
        const [a, s] = [memory.view(alphas, count), memory.view(v, 2 * count)];
        for (let i = 0; i < count; i++) {
          const { alpha, sigma } = at(start + i);
          a[i] = alpha;
          s[2 * i] = alpha * alpha * cx + sigma * sigma || 1e-12;
          s[2 * i + 1] = alpha * alpha * cy + sigma * sigma || 1e-12;
        }
        memory.kernels.posterior(out, mass, points, alphas, v, mx, my, logw, scratch, count, k);
        const [m, total] = [memory.view(out, 2 * count), memory.view(mass, 2 * count)];
        for (let i = 0; i < count; i++) {
          const { alpha, sigma } = at(start + i);
          for (const d of [0, 1] as const) {
            const c = components.variance[d];
            const j = 2 * (start + i) + d;
            const clean = sigma === 0; // then the point is the data
            mean[j] = clean ? x[j]! / alpha : (alpha * c * x[j]! + sigma * sigma * m[2 * i + d]!) / s[2 * i + d]!;
          }
          logDensity[start + i] =
            total[2 * i]! + Math.log(total[2 * i + 1]!) - 0.5 * Math.log(s[2 * i]! * s[2 * i + 1]!) - LOG_2PI;
        }
      }
    });
    return { mean, logDensity };
  }

  /** The answer of uniform boxes with noise at one point. */
  private inBoxes(x: Point, level: Level): { mean: Point; log: number } {
    const { alpha, sigma } = level;
    const weight = -Math.log(this.boxes!.length);
    const logs: number[] = [];
    const means: Point[] = [];
    for (const box of this.boxes!) {
      let log = weight;
      const mean: Point = [0, 0];
      for (const d of [0, 1] as const) {
        const tau = Math.hypot(alpha * this.noise[d], sigma);
        if (tau === 0) {
          const inside = x[d] >= alpha * box.low[d] && x[d] < alpha * box.high[d];
          log += inside ? -Math.log(alpha * (box.high[d] - box.low[d])) : -Infinity;
          mean[d] = x[d] / alpha;
          continue;
        }
        const [q, p] = [(x[d] - alpha * box.high[d]) / tau, (x[d] - alpha * box.low[d]) / tau];
        const own = logMeanNormal(q, p);
        log += own - Math.log(tau);
        const u = box.high[d] - truncatedPlace(q, p, own) * (box.high[d] - box.low[d]);
        mean[d] = u + ((alpha * this.noise[d] ** 2) / tau ** 2) * (x[d] - alpha * u);
      }
      logs.push(log);
      means.push(mean);
    }
    const most = Math.max(...logs);
    if (most === -Infinity) return { mean: [x[0] / alpha, x[1] / alpha], log: most };
    const shares = logs.map((log) => Math.exp(log - most));
    const total = shares.reduce((a, b) => a + b, 0);
    const mean = [0, 1].map((d) => shares.reduce((sum, w, k) => sum + w * means[k]![d]!, 0) / total) as Point;
    return { mean, log: most + Math.log(total) };
  }

  /** Draws (n, 2) of the posterior p(x_0 | x_t) of one point. */
  posterior(x: Point, level: Level, n: number, random: Random): Float32Array {
    const { alpha, sigma } = level;
    const out = new Float32Array(2 * n);
    if (sigma === 0) return out.map((_, i) => x[i % 2]! / alpha);
    if (this.boxes) return this.posteriorInBoxes(x, level, n, random);
    const own = this.at(sigma / alpha);
    const v = own.variance.map((c) => alpha * alpha * c + sigma * sigma);
    const logs = Array.from(own.logWeight, (w, k) => {
      const [dx, dy] = [x[0] - alpha * own.x[k]!, x[1] - alpha * own.y[k]!];
      return w - (0.5 * dx * dx) / v[0]! - (0.5 * dy * dy) / v[1]!;
    });
    const choose = chooser(logs, random);
    for (let i = 0; i < n; i++) {
      const k = choose();
      const centre = [own.x[k]!, own.y[k]!];
      for (const d of [0, 1] as const) {
        const c = own.variance[d];
        const mean = centre[d]! + ((alpha * c) / v[d]!) * (x[d] - alpha * centre[d]!);
        out[2 * i + d] = mean + Math.sqrt((c * sigma * sigma) / v[d]!) * random.normal();
      }
    }
    return out;
  }

  private posteriorInBoxes(x: Point, level: Level, n: number, random: Random): Float32Array {
    const { alpha, sigma } = level;
    const tau = [0, 1].map((d) => Math.hypot(alpha * this.noise[d]!, sigma));
    const limits = this.boxes!.map((box) =>
      [0, 1].map((d) => [(x[d]! - alpha * box.high[d]!) / tau[d]!, (x[d]! - alpha * box.low[d]!) / tau[d]!]),
    );
    const choose = chooser(
      limits.map((axes) => axes.reduce((sum, [q, p]) => sum + logMeanNormal(q!, p!), 0)),
      random,
    );
    const out = new Float32Array(2 * n);
    for (let i = 0; i < n; i++) {
      const axes = limits[choose()]!;
      for (const d of [0, 1] as const) {
        const z = truncatedNormal(axes[d]![0]!, axes[d]![1]!, random);
        const u = (x[d] - tau[d]! * z) / alpha;
        const gain = (alpha * this.noise[d] ** 2) / tau[d]! ** 2;
        const width = (this.noise[d] * sigma) / tau[d]!;
        out[2 * i + d] = u + gain * (x[d] - alpha * u) + width * random.normal();
      }
    }
    return out;
  }
}

/** Return a function that draws an index in proportion to the exponential of its logarithm. */
function chooser(logs: number[], random: Random): () => number {
  const most = logs.reduce((a, b) => Math.max(a, b), -Infinity);
  const upTo: number[] = [];
  let total = 0;
  for (const log of logs) upTo.push((total += Math.exp(log - most)));
  return () => {
    const at = random.uniform() * total;
    let [low, high] = [0, upTo.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (upTo[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** A normal variable within [q, p], by the inverse of its distribution function on the side of the tail. */
function truncatedNormal(q: number, p: number, random: Random): number {
  if (q + p > 0) return -truncatedNormal(-p, -q, random);
  const [low, high] = [logNormalCdf(q), logNormalCdf(p)];
  const log = high + Math.log(random.uniform() * -Math.expm1(low - high) + Math.exp(low - high));
  if (log < -600) return p; // so far out that all lies at the edge
  return Math.min(p, Math.max(q, normalQuantile(Math.exp(log))));
}

/** log of (Φ(p) - Φ(q)) / (p - q), the mean of a normal density over [q, p]. */
export function logMeanNormal(q: number, p: number): number {
  const [middle, w] = [(p + q) / 2, p - q];
  if (w < 1e-3) {
    const t = Math.abs((middle * w) / 2);
    const tilt = t < 1e-2 ? (t * t) / 6 - t ** 4 / 180 : t - Math.log(2 * t) + Math.log1p(-Math.exp(-2 * t));
    return -0.5 * middle * middle - 0.5 * LOG_2PI + tilt - (w * w) / 24;
  }
  const [near, far] = p + q > 0 ? [-q, -p] : [p, q];
  const above = logNormalCdf(near);
  return above + Math.log(-Math.expm1(Math.min(logNormalCdf(far) - above, -1e-300))) - Math.log(w);
}

/** The mean of a normal variable truncated to [q, p], scaled to 0 at q and 1 at p. */
function truncatedPlace(q: number, p: number, logMean: number): number {
  const [middle, w] = [(p + q) / 2, p - q];
  let value: number;
  if (w < 1e-3) {
    const t = (middle * w) / 2;
    value = 0.5 - (Math.abs(t) < 1e-2 ? t / 3 - t ** 3 / 45 : 1 / Math.tanh(t) - 1 / t) / 2;
  } else {
    const at = (e: number): number => Math.exp(-0.5 * e * e - 0.5 * LOG_2PI - logMean);
    value = ((at(q) - at(p)) / w - q) / w;
  }
  return Math.min(1, Math.max(0, value));
}
