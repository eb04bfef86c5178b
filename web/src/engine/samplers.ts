// How is noise turned into data? Step by step over the levels of a grid; a sampler is one step.

import type { Denoiser } from "./denoiser.js";
import type { Random } from "./random.js";
import type { Level } from "./schedules.js";

export type SamplerName = "ddpm" | "ddim" | "euler" | "heun" | "dpmpp_2m";
export const SAMPLERS: readonly SamplerName[] = ["ddpm", "ddim", "euler", "heun", "dpmpp_2m"];

export interface SamplerSettings {
  name: SamplerName;
  eta?: number;
  variance?: "posterior" | "beta";
}

/** Evaluations of the denoiser in n steps. */
export const evaluations = (name: SamplerName, n: number): number => (name === "heun" ? 2 * n - 1 : n);

interface State {
  x: Float32Array;
  now: Level;
  target: Level;
  denoiser: Denoiser;
  random: Random;
  last: { x0: Float32Array; level: Level } | null;
}

type Step = (state: State) => Float32Array;

/** Variances of q(x_s | x_t, x_0): the factors of x_t and x_0, the posterior variance, and σ²_{t|s}. */
function posteriorOf(now: Level, target: Level): { keep: number; data: number; variance: number; added: number } {
  const alpha = now.alpha / target.alpha;
  const total = now.sigma ** 2;
  const added = Math.max(0, total - (alpha * target.sigma) ** 2);
  const kept = target.sigma ** 2 / total;
  return { keep: alpha * kept, data: (target.alpha * added) / total, variance: added * kept, added };
}

function ddpm(variance: "posterior" | "beta"): Step {
  return ({ x, now, target, denoiser, random }) => {
    const x0 = denoiser.denoise(x, now);
    const own = posteriorOf(now, target);
    const clean = target.sigma === 0 && variance === "posterior";
    const std = clean ? 0 : Math.sqrt(variance === "beta" ? own.added : own.variance);
    return x.map((value, i) => own.keep * value + own.data * x0[i]! + (std ? std * random.normal() : 0));
  };
}

function ddim(eta: number): Step {
  return ({ x, now, target, denoiser, random }) => {
    const x0 = denoiser.denoise(x, now);
    const variance = eta && target.sigma ? eta ** 2 * posteriorOf(now, target).variance : 0;
    const [sigma, std] = [Math.sqrt(Math.max(0, target.sigma ** 2 - variance)), Math.sqrt(variance)];
    return x.map((value, i) => {
      const eps = (value - now.alpha * x0[i]!) / now.sigma;
      return target.alpha * x0[i]! + sigma * eps + (std ? std * random.normal() : 0);
    });
  };
}

const heun: Step = ({ x, now, target, denoiser }) => {
  const x0 = denoiser.denoise(x, now);
  const eps = x.map((value, i) => (value - now.alpha * x0[i]!) / now.sigma);
  const guess = x.map((_, i) => target.alpha * x0[i]! + target.sigma * eps[i]!);
  if (target.sigma === 0) return guess;
  const next = denoiser.denoise(guess, target);
  const [dAlpha, dSigma] = [target.alpha - now.alpha, target.sigma - now.sigma];
  return x.map((value, i) => {
    const epsNext = (guess[i]! - target.alpha * next[i]!) / target.sigma;
    return value + (dAlpha * (x0[i]! + next[i]!)) / 2 + (dSigma * (eps[i]! + epsNext)) / 2;
  });
};

/** λ = log(α/σ), -∞ without signal. */
const halfLogSnr = (level: Level): number =>
  level.alpha === 0 ? -Infinity : Math.log(level.alpha) - Math.log(level.sigma);

const dpmSolver: Step = (state) => {
  const { x, now, target, denoiser } = state;
  const x0 = denoiser.denoise(x, now);
  const last = state.last;
  state.last = { x0, level: now };
  if (target.sigma === 0) return x0.map((value) => target.alpha * value);
  const h = halfLogSnr(target) - halfLogSnr(now);
  const part = last ? h / (2 * (halfLogSnr(now) - halfLogSnr(last.level))) : 0;
  const [keep, gain] = [target.sigma / now.sigma, target.alpha * -Math.expm1(-h)];
  return x.map((value, i) => {
    const estimate = last ? x0[i]! + part * (x0[i]! - last.x0[i]!) : x0[i]!;
    return keep * value + gain * estimate;
  });
};

function stepOf(settings: SamplerSettings): Step {
  switch (settings.name) {
    case "ddpm":
      return ddpm(settings.variance ?? "posterior");
    case "ddim":
      return ddim(settings.eta ?? 0);
    case "euler":
      return ddim(0);
    case "heun":
      return heun;
    case "dpmpp_2m":
      return dpmSolver;
  }
}

/** Yield the points (n, 2) at each level of a grid, the start first. */
export function* trajectory(
  denoiser: Denoiser,
  start: Float32Array,
  levels: Level[],
  settings: SamplerSettings,
  random: Random,
): Generator<Float32Array> {
  const step = stepOf(settings);
  const state: State = { x: start, now: levels[0]!, target: levels[0]!, denoiser, random, last: null };
  yield start;
  for (let i = 0; i + 1 < levels.length; i++) {
    state.now = levels[i]!;
    state.target = levels[i + 1]!;
    state.x = step(state);
    yield state.x;
  }
}
