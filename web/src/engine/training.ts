// How is a network trained? Batches of noisy points, the gradient of their loss, a step of Adam, an average.

import { inputScale, outputCoefficients, trainingTarget, type Denoiser, type Prediction } from "./denoiser.js";
import type { Memory } from "./memory.js";
import type { Network } from "./network.js";
import { normalQuantile } from "./normal.js";
import { Random } from "./random.js";
import type { Level, Schedule } from "./schedules.js";

export interface LossSettings {
  distance: "l2" | "l1" | "huber";
  weighting: "none" | "min_snr" | "edm";
  gamma: number;
  delta: number;
  target: "sample" | "posterior" | "mixture"; // this engine fits no mixtures: posterior means of the group stand in
  group: number;
}

export interface TimesSettings {
  kind: "uniform" | "antithetic" | "log_normal";
  mean: number;
  std: number;
  stratified: boolean;
}

export interface TrainingSettings {
  steps: number;
  batch_size: number;
  batches: "shuffled" | "stream";
  learning_rate: number;
  betas: [number, number];
  warmup: number;
  decay: "none" | "linear";
  ema_decay: number;
  clip_norm: number | null;
}

/** How the output of a network is read. */
export interface Reading {
  prediction: Prediction;
  sigmaData: number;
}

const BLOCK = 512;
const DROPPED = 0.1; // of the classes

/** What a network is conditioned on at a level. */
function conditionOf(network: Network, level: Level): number {
  if (network.byStep) return level.t;
  return Math.min(20, Math.max(-20, 2 * Math.log(level.alpha / level.sigma)));
}

/** A network, with these weights, read as an estimator of the data. */
export class Learned implements Denoiser {
  constructor(
    private readonly memory: Memory,
    private readonly network: Network,
    private readonly reading: Reading,
    private readonly weights: number,
    private readonly label: number | null = null,
  ) {}

  denoise(x: Float32Array, level: Level): Float32Array {
    const { memory, network, reading } = this;
    const n = x.length / 2;
    const result = new Float32Array(2 * n);
    const scale = inputScale(reading.prediction, level, reading.sigmaData);
    const [skip, out] = outputCoefficients(reading.prediction, level, reading.sigmaData);
    for (let start = 0; start < n; start += BLOCK) {
      const count = Math.min(BLOCK, n - start);
      memory.scratch(() => {
        const inputs = memory.take(2 * count);
        const scaled = memory.view(inputs, 2 * count);
        for (let i = 0; i < 2 * count; i++) scaled[i] = scale * x[2 * start + i]!;
        const at = network.forward(this.weights, inputs, [conditionOf(network, level)], count, this.label === null ? null : [this.label]);
        const answers = memory.view(at, 4 * count);
        for (let i = 0; i < count; i++) {
          for (const d of [0, 1]) {
            const j = 2 * (start + i) + d;
            result[j] = skip * x[j]! + out * answers[4 * i + d]!;
          }
        }
      });
    }
    return result;
  }
}

/** A batch: noisy points (n, 2), their levels, and the data and noise that the network is to answer. */
export interface Batch {
  xt: Float32Array;
  x0: Float32Array;
  eps: Float32Array;
  levels: Level[];
  /** Classes that the network is told; the last one is none of them. Null where there are none. */
  labels: Uint8Array | null;
}

/** Add noise to points; with the target "posterior" put posterior means in the place of data and noise. */
export function noisy(
  memory: Memory, loss: LossSettings, x0: Float32Array, eps: Float32Array, levels: Level[], labels: Uint8Array | null = null, classes = 0,
): Batch {
  const n = levels.length;
  const xt = x0.map((value, i) => levels[i >> 1]!.alpha * value + levels[i >> 1]!.sigma * eps[i]!);
  if (loss.target === "sample") return { xt, x0, eps, levels, labels };
  const mean = new Float32Array(2 * n);
  for (let start = 0; start < n; start += loss.group) {
    const count = Math.min(loss.group, n - start);
    memory.scratch(() => {
      const k = Math.ceil(count / 4) * 4;
      const [points, alpha, v] = [memory.take(2 * count), memory.take(count), memory.take(2 * count)];
      const [mx, my, logw, scratch] = [memory.take(k), memory.take(k), memory.take(k), memory.take(k)];
      const [out, mass] = [memory.take(2 * count), memory.take(2 * count)];
      memory.view(points, 2 * count).set(xt.subarray(2 * start, 2 * (start + count)));
      const [a, s] = [memory.view(alpha, count), memory.view(v, 2 * count)];
      const [cx, cy, w] = [memory.view(mx, k), memory.view(my, k), memory.view(logw, k).fill(-1e30)];
      for (let i = 0; i < count; i++) {
        const level = levels[start + i]!;
        a[i] = level.alpha;
        s[2 * i] = s[2 * i + 1] = level.sigma ** 2;
        cx[i] = x0[2 * (start + i)]!;
        cy[i] = x0[2 * (start + i) + 1]!;
        w[i] = 0;
      }
      // A point whose class is told is one of that class alone.
      for (let own = labels ? 0 : classes; own <= classes; own++) {
        if (labels) for (let i = 0; i < count; i++) w[i] = own === classes || labels[start + i] === own ? 0 : -1e30;
        memory.kernels.posterior(out, mass, points, alpha, v, mx, my, logw, scratch, count, k);
        const means = memory.view(out, 2 * count);
        for (let i = 0; i < count; i++) {
          if (!labels || labels[start + i] === own) mean.set(means.subarray(2 * i, 2 * i + 2), 2 * (start + i));
        }
      }
    });
  }
  const noise = mean.map((value, i) => eps[i]! - (levels[i >> 1]!.alpha / levels[i >> 1]!.sigma) * (value - x0[i]!));
  return { xt, x0: mean, eps: noise, levels, labels };
}

/** What multiplies the distance of F from its target at a level. */
function weightAt(loss: LossSettings, reading: Reading, level: Level): number {
  if (loss.weighting === "none" || (loss.weighting === "edm" && reading.prediction === "edm")) return 1;
  const out = outputCoefficients(reading.prediction, level, reading.sigmaData)[1];
  if (loss.weighting === "min_snr") return Math.min((level.alpha / level.sigma) ** 2, loss.gamma) * out * out;
  return (out / outputCoefficients("edm", level, reading.sigmaData)[1]) ** 2;
}

/** A distance of one coordinate, and its slope. */
function distance(loss: LossSettings, error: number): [number, number] {
  if (loss.distance === "l2") return [error * error, 2 * error];
  const size = Math.abs(error);
  if (loss.distance === "l1") return [size, Math.sign(error)];
  if (size < loss.delta) return [0.5 * error * error, error];
  return [loss.delta * (size - 0.5 * loss.delta), loss.delta * Math.sign(error)];
}

/** The loss of any denoiser on a batch: what a network that answers like it would report. */
export function lossOf(loss: LossSettings, reading: Reading, batch: Batch, answers: Float32Array): number {
  const { levels } = batch;
  let total = 0;
  levels.forEach((level, i) => {
    const [skip, out] = outputCoefficients(reading.prediction, level, reading.sigmaData);
    const weight = weightAt(loss, reading, level);
    for (const d of [0, 1]) {
      const j = 2 * i + d;
      const target = trainingTarget(reading.prediction, batch.x0[j]!, batch.eps[j]!, level, reading.sigmaData);
      total += weight * distance(loss, (answers[j]! - skip * batch.xt[j]!) / out - target)[0];
    }
  });
  return total / (2 * levels.length);
}

/** Levels of n examples. */
export function drawLevels(times: TimesSettings, schedule: Schedule, n: number, random: Random): Level[] {
  const span = schedule.tMax - schedule.tMin;
  const uniform = (): number =>
    schedule.discrete ? random.below(schedule.tMax + 1) : schedule.tMin + span * random.uniform();
  const t: number[] = [];
  if (times.kind === "antithetic") {
    const half = Array.from({ length: Math.ceil(n / 2) }, uniform);
    t.push(...half, ...half.map((value) => schedule.tMin + schedule.tMax - value));
  } else {
    for (let i = 0; i < n; i++) {
      if (times.kind === "uniform") {
        t.push(uniform());
      } else {
        const u = times.stratified ? (i + random.uniform()) / n : random.uniform();
        const z = normalQuantile(Math.min(1 - 1e-12, Math.max(1e-12, u)));
        t.push(schedule.timeAtRatio(Math.exp(times.mean + times.std * z)));
      }
    }
  }
  return t.slice(0, n).map((value) => schedule.at(value));
}

/** Trains a network on points (N, 2) in the units of the model. */
export class Trainer {
  step = 0;
  /** Where the weights, their average and their gradient lie. */
  readonly weights: number;
  readonly average: number;
  readonly gradient: number;
  private readonly first: number;
  private readonly second: number;
  private order: Uint32Array;
  private place = 0;
  private readonly random: Random;

  constructor(
    private readonly memory: Memory,
    readonly network: Network,
    private readonly reading: Reading,
    private readonly schedule: Schedule,
    public loss: LossSettings,
    private readonly times: TimesSettings,
    public settings: TrainingSettings,
    private readonly data: Float32Array,
    seed: number,
    start?: Float32Array,
    private readonly labels: Uint8Array | null = null,
    private readonly classes = 0,
  ) {
    this.random = new Random(seed, "training");
    const fresh = start ?? network.fresh(new Random(seed, "weights"));
    this.weights = memory.put(fresh);
    this.average = memory.put(fresh);
    this.gradient = memory.take(network.size);
    this.first = memory.take(network.size);
    this.second = memory.take(network.size);
    this.order = this.random.permutation(data.length / 2);
  }

  /** The weights that samples are drawn with. */
  get best(): number {
    return this.settings.ema_decay ? this.average : this.weights;
  }

  learningRate(step: number): number {
    const { steps, warmup, decay, learning_rate } = this.settings;
    const rise = warmup ? Math.min(1, (step + 1) / (warmup * steps)) : 1;
    return learning_rate * rise * (decay === "linear" ? 1 - step / steps : 1);
  }

  /** Points of the next batch, with their classes; each is visited once an epoch. */
  private next(): [Float32Array, Uint8Array | null] {
    const N = this.order.length;
    let count = this.settings.batch_size;
    if (this.settings.batches === "shuffled") count = Math.min(count, N - this.place || N);
    const x0 = new Float32Array(2 * count);
    const labels = this.labels && new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      if (this.place === N) {
        this.order = this.random.permutation(N);
        this.place = 0;
      }
      const from = this.order[this.place++]!;
      x0[2 * i] = this.data[2 * from]!;
      x0[2 * i + 1] = this.data[2 * from + 1]!;
      // Some are not told, so that the network answers without a class as well.
      if (labels) labels[i] = this.random.uniform() < DROPPED ? this.classes : this.labels![from]!;
    }
    return [x0, labels];
  }

  /** A batch as training sees it. */
  batch(): Batch {
    const [x0, labels] = this.next();
    const n = x0.length / 2;
    const levels = drawLevels(this.times, this.schedule, n, this.random);
    return noisy(this.memory, this.loss, x0, this.random.normals(2 * n), levels, labels, this.classes);
  }

  /** Take a step on a batch; return its loss. */
  stepOn(batch: Batch): number {
    const { memory, network, reading, loss, settings } = this;
    const { kernels } = memory;
    const n = batch.levels.length;
    const total = memory.scratch(() => {
      const inputs = memory.take(2 * n);
      const scaled = memory.view(inputs, 2 * n);
      batch.levels.forEach((level, i) => {
        const scale = inputScale(reading.prediction, level, reading.sigmaData);
        scaled[2 * i] = scale * batch.xt[2 * i]!;
        scaled[2 * i + 1] = scale * batch.xt[2 * i + 1]!;
      });
      const conditions = batch.levels.map((level) => conditionOf(network, level));
      const out = network.forward(this.weights, inputs, conditions, n, batch.labels);
      const slope = memory.take(4 * n);
      const [answers, slopes] = [memory.view(out, 4 * n), memory.view(slope, 4 * n)];
      let sum = 0;
      batch.levels.forEach((level, i) => {
        const weight = weightAt(loss, reading, level);
        for (const d of [0, 1]) {
          const j = 2 * i + d;
          const target = trainingTarget(reading.prediction, batch.x0[j]!, batch.eps[j]!, level, reading.sigmaData);
          const [value, by] = distance(loss, answers[4 * i + d]! - target);
          sum += weight * value;
          slopes[4 * i + d] = (weight * by) / (2 * n);
        }
      });
      network.backward(this.weights, this.gradient, slope, n);
      return sum / (2 * n);
    });
    const { clip_norm, betas, ema_decay } = settings;
    const norm = clip_norm === null ? 0 : Math.sqrt(kernels.squares(this.gradient, network.size));
    const clip = clip_norm === null ? 1 : Math.min(1, clip_norm / (norm + 1e-6));
    const rate = this.learningRate(this.step);
    this.step++;
    const [b1, b2] = betas;
    const decay = ema_decay ? Math.min(ema_decay, (1 + this.step) / (10 + this.step)) : 0;
    kernels.adam(
      this.weights, this.gradient, this.first, this.second, this.average, network.size,
      clip, rate / (1 - b1 ** this.step), b1, b2, Math.sqrt(1 - b2 ** this.step), decay,
    );
    return total;
  }

  get done(): boolean {
    return this.step >= this.settings.steps;
  }
}

