// What can an engine be asked? The page knows only this, not whether the engine is in a worker or in Python.

import type { Prediction } from "./denoiser.js";
import type { Ratio } from "./distance.js";
import type { Scaling } from "./exact.js";
import type { LawSpec, Point } from "./laws.js";
import type { NetworkSettings, Tensors } from "./network.js";
import type { SamplerSettings } from "./samplers.js";
import type { Level, ScheduleSettings, Spacing } from "./schedules.js";
import type { LossSettings, TimesSettings, TrainingSettings } from "./training.js";

/** Who answers: the network, the perfect denoiser of the training set, or that of the law. */
export type Which = "learned" | "set" | "exact";

export interface SamplingSettings extends SamplerSettings {
  steps: number;
  spacing: Spacing;
  rho: number;
  /** Whether to start from noised data, as training has seen it, in the place of pure noise. */
  start?: boolean;
  /** Whether to walk in many fine steps of Heun's method, in the place of the sampler's own. */
  fine?: boolean;
  /** The class that is asked for, and how strongly; none by default. */
  label?: number | null;
  guidance?: number;
}

/** Everything that a training depends on besides its data: the sections of a recipe. */
export interface Recipe {
  schedule: ScheduleSettings;
  network: NetworkSettings;
  denoiser: { prediction: Prediction; sigma_data: number };
  loss: LossSettings;
  times: TimesSettings;
  training: TrainingSettings;
  sampling: SamplingSettings;
}

export interface Setup {
  law: LawSpec;
  /** Points of the training set, in the units of the data; drawn from the law where there are none. */
  data: Float32Array | null;
  size: number;
  /** The classes of these points. */
  labels?: Uint8Array;
  /** Where there is none the data is brought to mean 0 and deviation 1. */
  scaling: Scaling | null;
  recipe: Recipe;
  /** Weights by their names in a saved model; without them the network is untrained. */
  tensors: Tensors | null;
  seed: number;
}

/** How points are shown: y = (x_t - α middle) / √(α² spread² + σ²), about 1 wide at every level. */
export interface Display {
  middle: Point;
  spread: number;
}

export interface Ready {
  display: Display;
  scaling: Scaling;
  /** Real points (n, 2), in the units of the model. */
  real: Float32Array;
  /** How many classes there are, and those of the real points. */
  classes: number;
  labels: ArrayLike<number>;
  /** Whether the law of the data is known; otherwise the exact denoiser is that of the training points. */
  known: boolean;
  /** Whether the kernels are WebAssembly. */
  fast: boolean;
  weights: number;
}

export interface WalkRequest {
  n: number;
  seed: number;
  which: Which;
  sampling: SamplingSettings;
  /** Which state of a training in the page; null: the last one. */
  snapshot: number | null;
}

export interface Walk {
  /** States (steps + 1, n, 2), in the units of the model. */
  states: Float32Array;
  n: number;
  levels: Level[];
  evaluations: number;
  seconds: number;
}

export interface FieldRequest {
  /** Points (n, 2) in the units of the model. */
  x: Float32Array;
  level: Level;
  snapshot: number | null;
  label?: number | null;
  guidance?: number;
}

export interface Field {
  /** Estimates (n, 2) of x_0, learned and exact, and the log-density of q(x_t). */
  learned: Float32Array;
  exact: Float32Array;
  logDensity: Float64Array | Float32Array;
}

export interface PathRequest {
  x: Point;
  /** From this level of the grid on, to data. */
  from: number;
  sampling: SamplingSettings;
  snapshot: number | null;
}

export interface Path {
  /** States (m, 2) from the point to data under the network and under the exact denoiser. */
  learned: Float32Array;
  exact: Float32Array;
  levels: Level[];
  /** Draws (k, 2) of p(x_0 | x_t), its mean, and the network's answer. */
  posterior: Float32Array;
  mean: Point;
  answer: Point;
}

export interface LevelErrors {
  /** σ/α of each level, and the mean square per coordinate of the network's and of the exact error of x_0. */
  ratio: number[];
  learned: number[];
  exact: number[];
  /** How far the network's answer is from the exact one, root mean square, in deviations of the data. */
  excess: number[];
}

export interface Interval {
  value: number;
  low: number;
  high: number;
}

/** Parts of the way from noise to samples, each of which can be exchanged for an exact one. */
export type Part = "steps" | "start" | "set" | "network";

/** What each part costs, in multiples of the floor; with real points in the place of samples they add up to the total. */
export interface Budget {
  real: number;
  parts: { part: Part; ratio: number; low: number; high: number }[];
  total: Ratio;
  /** The exact denoiser with this sampler, from its own start. */
  exact: Ratio;
}

export interface Trained {
  step: number;
  seconds: number;
  stopped: boolean;
  snapshots: number[];
}

/** What can be asked, with what is answered. */
export interface Questions {
  setup: { ask: Setup; answer: Ready };
  walk: { ask: WalkRequest; answer: Walk };
  /** Real points on their way to noise, by the schedule of the network or another one. */
  forward: { ask: { n: number; seed: number; sampling: SamplingSettings; schedule: ScheduleSettings | null }; answer: Walk };
  field: { ask: FieldRequest; answer: Field };
  path: { ask: PathRequest; answer: Path };
  real: { ask: { n: number; seed: number }; answer: Float32Array };
  quality: { ask: { which: Which; n: number; draws: number; sampling: SamplingSettings }; answer: Ratio };
  budget: { ask: { n: number; draws: number; sampling: SamplingSettings }; answer: Budget };
  /** Which part of n samples lies nearer to a training point than half of all fresh points: 0.5 is right. */
  heart: { ask: { n: number }; answer: number };
  irreducible: { ask: { batches: number }; answer: Interval };
  levels: { ask: { n: number; snapshot: number | null }; answer: LevelErrors };
  train: { ask: { recipe: Recipe; seed: number }; answer: Trained };
  stop: { ask: null; answer: null };
  /** Other settings for the steps that come; false where no training runs. */
  adjust: { ask: Adjustment; answer: boolean };
  /** Bring the data to mean 0 and deviation 1, with an untrained network. */
  standardise: { ask: null; answer: Ready };
  /** Show a recorded run of the tutorial's recipe. */
  load: { ask: { at: number }; answer: unknown };
  /** The network as it is now, in a form that a page can be saved with. */
  save: { ask: { language: string }; answer: Saved };
  /** Make a run directory of what was trained; its path. */
  keep: { ask: null; answer: string };
  /** Answered at the end of the training that runs, at once where none does. */
  attach: { ask: null; answer: Trained | null };
}

export type Question = keyof Questions;

/** What can be changed while a training runs. */
export interface Adjustment {
  learning_rate: number;
  batch_size: number;
  ema_decay: number;
  distance: LossSettings["distance"];
}

/** A whole page, or weights for the page that asks. */
export interface Saved {
  html: string | null;
  tensors: Tensors | null;
}

/** What an engine says by itself, while it trains. */
export interface Progress {
  step: number;
  steps: number;
  /** Mean loss of the steps since the last report; NaN in one that has samples only. */
  loss: number;
  seconds: number;
  /** Samples (n, 2) in the units of the model, now and then. */
  samples: Float32Array | null;
  /** Their distance from fresh data, over that of fresh data from fresh data; NaN where there are none. */
  ratio: number;
}

export interface Engine {
  /** Where the numbers come from. */
  readonly name: "local" | "remote";
  ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]>;
  onProgress: (progress: Progress) => void;
}
