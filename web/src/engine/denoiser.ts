// Given a noisy point, what was the data? The estimate is affine in the network's output F:
//   x̂_0 = c_skip x_t + c_out F(c_in x_t, t)

import type { Level } from "./schedules.js";

export type Prediction = "noise" | "data" | "velocity" | "flow" | "edm";

/** A denoiser: estimates of x_0 (n, 2), row by row, of points (n, 2) at one level. */
export interface Denoiser {
  denoise(x: Float32Array, level: Level): Float32Array;
}

/** Classifier-free guidance: D_w = D_uncond + w (D_cond - D_uncond) (Ho & Salimans 2022). */
export class Guided implements Denoiser {
  constructor(
    private readonly conditional: Denoiser,
    private readonly unconditional: Denoiser,
    private readonly scale: number,
  ) {}

  denoise(x: Float32Array, level: Level): Float32Array {
    const free = this.unconditional.denoise(x, level);
    return this.conditional.denoise(x, level).map((value, i) => free[i]! + this.scale * (value - free[i]!));
  }
}

/** c_skip and c_out of a prediction type, with the deviation s of the data (only for edm). */
export function outputCoefficients(prediction: Prediction, level: Level, s = 1): [number, number] {
  const { alpha, sigma } = level;
  switch (prediction) {
    case "noise":
      return [1 / alpha, -sigma / alpha];
    case "data":
      return [0, 1];
    case "velocity": {
      const square = alpha * alpha + sigma * sigma;
      return [alpha / square, -sigma / square];
    }
    case "flow":
      return [1 / (alpha + sigma), -sigma / (alpha + sigma)];
    case "edm": {
      const variance = (alpha * s) ** 2 + sigma * sigma;
      return [(alpha * s * s) / variance, (sigma * s) / Math.sqrt(variance)];
    }
  }
}

/** c_in, which brings the input of an edm network to unit variance. */
export function inputScale(prediction: Prediction, level: Level, s = 1): number {
  return prediction === "edm" ? 1 / Math.hypot(level.alpha * s, level.sigma) : 1;
}

/** The target of F for one coordinate, from data x_0 and noise ε. */
export function trainingTarget(
  prediction: Prediction,
  x0: number,
  eps: number,
  level: Level,
  s = 1,
): number {
  const { alpha, sigma } = level;
  switch (prediction) {
    case "noise":
      return eps;
    case "data":
      return x0;
    case "velocity":
      return alpha * eps - sigma * x0;
    case "flow":
      return eps - x0;
    case "edm": // (x_0 - c_skip x_t) / c_out, so that nothing cancels at small σ
      return ((sigma / s) * x0 - alpha * s * eps) / Math.hypot(alpha * s, sigma);
  }
}
