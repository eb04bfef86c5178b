// Does the local engine compute what the package does? Against vectors that Python wrote.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import kernels from "../build/kernels.wasm";
import { slicedWasserstein } from "../src/engine/distance.js";
import { Exact } from "../src/engine/exact.js";
import { Law, type LawSpec } from "../src/engine/laws.js";
import { bytesOf, Memory } from "../src/engine/memory.js";
import { makeNetwork, type NetworkSettings, type Tensors } from "../src/engine/network.js";
import { Random } from "../src/engine/random.js";
import { trajectory, type SamplerSettings } from "../src/engine/samplers.js";
import { grid, makeSchedule, priorStd, type ScheduleSettings, type Spacing } from "../src/engine/schedules.js";
import { Learned, noisy, Trainer, type LossSettings, type TrainingSettings } from "../src/engine/training.js";

interface Named {
  [name: string]: { shape: number[]; values: number[] };
}

interface Vectors {
  schedules: {
    settings: ScheduleSettings;
    times: number[];
    alpha: number[];
    sigma: number[];
    ratios: number[];
    at_ratio: number[];
    grids: { spacing: Spacing; alpha: number[]; sigma: number[] }[];
  }[];
  laws: {
    spec: LawSpec;
    scaling: { shift: [number, number]; scale: [number, number] };
    answers: { alpha: number; sigma: number; x: number[]; mean: number[]; log: number[] }[];
  }[];
  networks: {
    case: {
      network: string;
      settings: object;
      schedule: ScheduleSettings;
      prediction: "edm";
      sigma_data: number;
      loss: Partial<LossSettings>;
      betas: [number, number];
      clip_norm: number | null;
      ema_decay: number;
    };
    tensors: Named;
    x: number[];
    times: number[];
    answers: number[][];
    walks: {
      sampler: SamplerSettings;
      steps: number;
      start: number[];
      noise: number[];
      middle: number[];
      end: number[];
    }[];
    step: {
      x_0: number[];
      eps: number[];
      times: number[];
      loss: number;
      gradient: Named;
      weights: Named;
      average: Named;
    };
  }[];
  distances: { x: number[]; y: number[]; offset: number; distance: number };
}

const vectors = JSON.parse(readFileSync("test/vectors.json", "utf8")) as Vectors;
const machines = [
  { name: "wasm", memory: Memory.make(bytesOf(kernels)) },
  { name: "plain", memory: Memory.make(null) },
];

/** All numbers agree to `tolerance`, of 1 or of the largest of them where that is more. */
function close(found: ArrayLike<number>, expected: ArrayLike<number | null>, what: string, tolerance = 1e-5): void {
  assert.equal(found.length, expected.length, what);
  const most = Array.from(expected).reduce<number>((a, b) => Math.max(a, Math.abs(b ?? 0)), 1);
  for (let i = 0; i < found.length; i++) {
    const value = expected[i] ?? null;
    if (value === null) continue;
    assert.ok(Math.abs(found[i]! - value) <= tolerance * most, `${what} at ${i}: ${found[i]} is not ${value}`);
  }
}

const tensorsOf = (named: Named): Tensors =>
  Object.fromEntries(
    Object.entries(named).map(([name, { shape, values }]) => [name, { shape, values: Float32Array.from(values) }]),
  );

test("WebAssembly with SIMD runs here", () => {
  assert.equal(machines[0]!.memory.fast, true);
  assert.equal(machines[1]!.memory.fast, false);
});

for (const entry of vectors.schedules) {
  test(`the schedule ${JSON.stringify(entry.settings)} has the levels and grids of the package`, () => {
    const schedule = makeSchedule(entry.settings);
    const levels = entry.times.map((t) => schedule.at(t));
    close(levels.map((l) => l.alpha), entry.alpha, "alpha", 1e-12);
    close(levels.map((l) => l.sigma), entry.sigma, "sigma", 1e-12);
    close(entry.ratios.map((r) => schedule.timeAtRatio(r)), entry.at_ratio, "time at ratio", 1e-9);
    for (const { spacing, alpha, sigma } of entry.grids) {
      const found = grid(schedule, 11, spacing);
      close(found.map((l) => l.alpha), alpha, `${spacing} alpha`, 1e-10);
      close(found.map((l) => l.sigma), sigma, `${spacing} sigma`, 1e-10);
    }
  });
}

for (const { name, memory } of machines) {
  for (const { spec, scaling, answers } of vectors.laws) {
    const label = spec.kind === "builtin" ? `${spec.name} (noise ${spec.noise})` : spec.kind;
    test(`the exact denoiser and density of ${label} are those of the package, ${name}`, () => {
      const own = spec.kind === "points" ? { ...spec, points: Float32Array.from(spec.points) } : spec;
      const exact = new Exact(memory, new Law(own), scaling);
      for (const { alpha, sigma, x, mean, log } of answers) {
        const level = { t: 0, alpha, sigma };
        close(exact.denoise(Float32Array.from(x), level), mean, `mean at ${alpha}, ${sigma}`);
        close(exact.logDensity(Float32Array.from(x), level), log, `density at ${alpha}, ${sigma}`);
      }
    });
  }

  for (const entry of vectors.networks) {
    const { case: own, step } = entry;
    const title = `${own.network} reading ${own.prediction}, ${name}`;
    const schedule = makeSchedule(own.schedule);
    const settings: NetworkSettings = { name: own.network, ...own.settings };
    if (own.network === "article_mlp") settings.n_steps = schedule.tMax + 1;
    const network = makeNetwork(memory, settings);
    const start = network.read(tensorsOf(entry.tensors));
    const weights = memory.put(start);
    const reading = { prediction: own.prediction, sigmaData: own.sigma_data };
    const denoiser = new Learned(memory, network, reading, weights);

    test(`a network answers as in the package: ${title}`, () => {
      entry.times.forEach((t, i) => {
        close(denoiser.denoise(Float32Array.from(entry.x), schedule.at(t)), entry.answers[i]!, `at ${t}`);
      });
    });

    test(`samplers walk as in the package: ${title}`, () => {
      for (const walk of entry.walks) {
        const levels = grid(schedule, walk.steps, "karras");
        assert.ok(priorStd(levels[0]!) > 0);
        let drawn = 0;
        const random = { normal: () => walk.noise[drawn++]! } as unknown as Random;
        const states = [...trajectory(denoiser, Float32Array.from(walk.start), levels, walk.sampler, random)];
        close(states[4]!, walk.middle, `${JSON.stringify(walk.sampler)} in the middle`);
        close(states.at(-1)!, walk.end, `${JSON.stringify(walk.sampler)} at the end`, 2e-5);
      }
    });

    test(`one step of training moves the weights as in the package: ${title}`, () => {
      const loss: LossSettings = {
        distance: "l2", weighting: "none", gamma: 5, delta: 1, target: "sample", group: 256, ...own.loss,
      };
      const training: TrainingSettings = {
        steps: 10, batch_size: 16, batches: "stream", learning_rate: 0.01, betas: own.betas,
        warmup: 0, decay: "none", ema_decay: own.ema_decay, clip_norm: own.clip_norm,
      };
      const times = { kind: "uniform", mean: 0, std: 1, stratified: false } as const;
      const x0 = Float32Array.from(step.x_0);
      const trainer = new Trainer(memory, network, reading, schedule, loss, times, training, x0, 0, start);
      const batch = noisy(memory, loss, x0, Float32Array.from(step.eps), step.times.map((t) => schedule.at(t)));
      close([trainer.stepOn(batch)], [step.loss], "loss");
      const gradient = network.read(tensorsOf(step.gradient));
      const most = gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const found = memory.view(trainer.gradient, network.size);
      close(found.map((g) => g / most), gradient.map((g) => g / most), "gradient");
      // Adam's first step is rate × sign: where a gradient is 0 its rounding decides, so these are left out.
      const known = (values: Float32Array): Float32Array =>
        values.map((v, i) => (Math.abs(gradient[i]!) > 1e-4 * most ? v : 0));
      close(known(memory.view(trainer.weights, network.size)), known(network.read(tensorsOf(step.weights))), "weights");
      close(known(memory.view(trainer.average, network.size)), known(network.read(tensorsOf(step.average))), "average");
      network.read(tensorsOf(entry.tensors));
    });
  }
}

test("streams of other seeds and other purposes have other numbers, normal and independent", () => {
  const n = 20_000;
  const streams = Array.from({ length: 12 }, (_, seed) => new Random(seed, "a").normals(n));
  streams.push(new Random(0, "b").normals(n));
  assert.deepEqual(new Random(3, "a").normals(5), streams[3]!.slice(0, 5));
  for (const [i, x] of streams.entries()) {
    const mean = x.reduce((sum, v) => sum + v, 0) / n;
    const square = x.reduce((sum, v) => sum + v * v, 0) / n;
    assert.ok(Math.abs(mean) < 5 / Math.sqrt(n) && Math.abs(square - 1) < 5 * Math.sqrt(2 / n), `stream ${i}`);
    for (const [j, y] of streams.entries()) {
      if (j <= i) continue;
      const together = x.reduce((sum, v, k) => sum + v * y[k]!, 0) / n;
      assert.ok(Math.abs(together) < 5 / Math.sqrt(n), `streams ${i} and ${j}`);
    }
  }
});

test("the sliced Wasserstein distance is that of the package", () => {
  const { x, y, offset, distance } = vectors.distances;
  close([slicedWasserstein(Float32Array.from(x), Float32Array.from(y), offset)], [distance], "distance");
});
