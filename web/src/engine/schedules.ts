// How much signal and noise is there at a time, and which levels does sampling visit?
//   x_t = α(t) x_0 + σ(t) ε

export interface Level {
  t: number;
  alpha: number;
  sigma: number;
}

export interface ScheduleSettings {
  name: string;
  zero_terminal_snr?: boolean;
  /** Of the schedule "piecewise". */
  log_snr?: number[];
  [setting: string]: number | string | boolean | number[] | undefined;
}

export type Spacing = "uniform" | "trailing" | "karras";

/** σ/α of a level; infinite where there is no signal. */
export const ratioOf = (level: Level): number => level.sigma / level.alpha;

/** Signal and noise as functions of time; σ/α rises with it. */
export interface Schedule {
  readonly tMin: number;
  readonly tMax: number;
  readonly discrete: boolean;
  at(t: number): Level;
  timeAtRatio(ratio: number): number;
}

const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** T steps by the noise β_t that each adds (Ho et al. 2020, Eq. 2-7). */
export class DiscreteSchedule implements Schedule {
  readonly discrete = true;
  readonly tMin = 0;
  readonly tMax: number;
  readonly alpha: Float64Array;
  readonly sigma: Float64Array;
  private readonly between: Float64Array;

  constructor(readonly beta: ArrayLike<number>) {
    const T = beta.length;
    this.tMax = T - 1;
    this.alpha = new Float64Array(T);
    this.sigma = new Float64Array(T);
    let logAlphaBar = 0;
    for (let t = 0; t < T; t++) {
      logAlphaBar += Math.log1p(-beta[t]!);
      this.alpha[t] = Math.exp(0.5 * logAlphaBar);
      this.sigma[t] = Math.sqrt(-Math.expm1(logAlphaBar));
    }
    const logs = this.alpha.map((a, t) => Math.log(this.sigma[t]! / a));
    this.between = new Float64Array(Math.max(0, T - 1)).map((_, t) => (logs[t]! + logs[t + 1]!) / 2);
  }

  at(t: number): Level {
    const i = Math.trunc(t);
    return { t: i, alpha: this.alpha[i]!, sigma: this.sigma[i]! };
  }

  timeAtRatio(ratio: number): number {
    const value = Math.log(ratio);
    let low = 0;
    let high = this.between.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.between[middle]! <= value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

class VP implements Schedule {
  readonly discrete = false;
  constructor(
    readonly betaMin: number,
    readonly betaMax: number,
    readonly tMin: number,
    readonly tMax: number,
  ) {}

  private integral(t: number): number {
    return t * this.betaMin + 0.5 * t * t * (this.betaMax - this.betaMin);
  }

  at(t: number): Level {
    const integral = this.integral(t);
    return { t, alpha: Math.exp(-0.5 * integral), sigma: Math.sqrt(-Math.expm1(-integral)) };
  }

  timeAtRatio(ratio: number): number {
    const integral = Math.min(Math.log1p(ratio * ratio), this.integral(this.tMax));
    const root = Math.sqrt(this.betaMin ** 2 + 2 * (this.betaMax - this.betaMin) * integral);
    return clamp((2 * integral) / (this.betaMin + root), this.tMin, this.tMax);
  }
}

class EDM implements Schedule {
  readonly discrete = false;
  constructor(
    readonly tMin: number,
    readonly tMax: number,
  ) {}

  at(t: number): Level {
    return { t, alpha: 1, sigma: t };
  }

  timeAtRatio(ratio: number): number {
    return clamp(ratio, this.tMin, this.tMax);
  }
}

class Flow implements Schedule {
  readonly discrete = false;
  constructor(
    readonly tMin: number,
    readonly tMax: number,
  ) {}

  at(t: number): Level {
    return { t, alpha: 1 - t, sigma: t };
  }

  timeAtRatio(ratio: number): number {
    return clamp(ratio === Infinity ? 1 : ratio / (1 + ratio), this.tMin, this.tMax);
  }
}

class ContinuousCosine implements Schedule {
  readonly discrete = false;
  constructor(
    readonly tMin: number,
    readonly tMax: number,
  ) {}

  at(t: number): Level {
    const angle = (t * Math.PI) / 2;
    return { t, alpha: t === 1 ? 0 : Math.cos(angle), sigma: Math.sin(angle) };
  }

  timeAtRatio(ratio: number): number {
    return clamp((Math.atan(ratio) * 2) / Math.PI, this.tMin, this.tMax);
  }
}

/** log(α²/σ²) linear between knots at equal times, with α² + σ² = 1. */
class Piecewise implements Schedule {
  readonly discrete = false;
  readonly tMin = 1e-3;
  readonly tMax = 1;
  constructor(readonly knots: number[]) {}

  at(t: number): Level {
    const { knots } = this;
    const place = t * (knots.length - 1);
    const i = Math.min(knots.length - 2, Math.floor(place));
    const log = knots[i]! + (place - i) * (knots[i + 1]! - knots[i]!);
    return { t, alpha: (1 + Math.exp(-log)) ** -0.5, sigma: (1 + Math.exp(log)) ** -0.5 };
  }

  timeAtRatio(ratio: number): number {
    const { knots } = this;
    const log = -2 * Math.log(ratio);
    let i = 0;
    while (i < knots.length - 2 && knots[i + 1]! > log) i++;
    return clamp((i + (knots[i]! - log) / (knots[i]! - knots[i + 1]!)) / (knots.length - 1), this.tMin, 1);
  }
}

function steps(T: number, value: (i: number) => number): Float64Array {
  return new Float64Array(T).map((_, i) => value(i));
}

function cosineBetas(T: number, start: number, end: number, offset: number): Float64Array {
  const angle = (t: number): number => (((t / T + offset) / (1 + offset)) * Math.PI) / 2;
  const turn = Math.sin(Math.PI / 2 / (1 + offset) / T);
  return steps(T, (t) =>
    clamp((turn * Math.sin(angle(t + 1) + angle(t))) / Math.cos(angle(t)) ** 2, start, end),
  );
}

/** Shift and scale α so that the last step is pure noise (Lin et al. 2023, Algorithm 1). */
function rescaled(schedule: DiscreteSchedule): DiscreteSchedule {
  const root = schedule.alpha;
  const [first, last] = [root[0]!, root[root.length - 1]!];
  const bars = root.map((value) => (((value - last) * first) / (first - last)) ** 2);
  return new DiscreteSchedule(bars.map((bar, t) => 1 - bar / (t ? bars[t - 1]! : 1)));
}

/** Make a schedule from the settings of a recipe; an unknown name is an Error. */
export function makeSchedule(settings: ScheduleSettings): Schedule {
  const number = (name: string, otherwise: number): number =>
    typeof settings[name] === "number" ? (settings[name] as number) : otherwise;
  const T = number("T", 1000);
  const ramp = (t: number, a: number, b: number): number => (T === 1 ? a : a + ((b - a) * t) / (T - 1));
  const [tMin, tMax] = [number("t_min", 1e-3), number("t_max", 1)];
  let betas: Float64Array;
  switch (settings.name) {
    case "vp":
      return new VP(number("beta_min", 0.1), number("beta_max", 20), tMin, tMax);
    case "edm":
      return new EDM(number("sigma_min", 0.002), number("sigma_max", 80));
    case "flow":
      return new Flow(tMin, tMax);
    case "continuous_cosine":
      return new ContinuousCosine(tMin, tMax);
    case "piecewise":
      return new Piecewise(settings.log_snr!);
    case "linear":
      betas = steps(T, (t) => ramp(t, number("start", 1e-4), number("end", 0.02)));
      break;
    case "quadratic":
      betas = steps(T, (t) => ramp(t, number("start", 1e-4) ** 0.5, number("end", 0.02) ** 0.5) ** 2);
      break;
    case "sigmoid": {
      const [start, end] = [number("start", 1e-5), number("end", 0.5e-2)];
      betas = steps(T, (t) => start + (end - start) / (1 + Math.exp(-ramp(t, -6, 6))));
      break;
    }
    case "cosine":
      betas = cosineBetas(T, number("start", 0), number("end", 0.999), number("offset", 0.008));
      break;
    default:
      throw new Error(`There is no schedule ${settings.name} here.`);
  }
  const schedule = new DiscreteSchedule(betas);
  return settings.zero_terminal_snr ? rescaled(schedule) : schedule;
}

/** The half-integers go to the even side, as in NumPy and torch. */
export function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

function rawTimes(schedule: Schedule, n: number, spacing: Spacing, rho: number): number[] {
  const index = Array.from({ length: n }, (_, i) => i);
  if (spacing === "uniform") {
    const span = schedule.tMax - schedule.tMin;
    return index.map((i) => (n === 1 ? schedule.tMax : schedule.tMax - (span * i) / (n - 1)));
  }
  if (spacing === "trailing") return index.map((i) => schedule.tMax * (1 - i / n));
  const first = schedule.at(schedule.tMax);
  let most = ratioOf(first);
  const least = ratioOf(schedule.at(schedule.tMin));
  const noSignal = most === Infinity && n > 1;
  if (first.alpha < 1) most = Math.min(most, 80);
  const m = n - (noSignal ? 1 : 0);
  const [a, b] = [most ** (1 / rho), least ** (1 / rho)];
  const times = index
    .slice(0, m)
    .map((i) => schedule.timeAtRatio((a + (m === 1 ? 0 : i / (m - 1)) * (b - a)) ** rho));
  if (noSignal) return [schedule.tMax, ...times];
  times[0] = schedule.tMax;
  return times;
}

/** The levels of a trajectory of n steps, from the noisiest to clean data: n + 1 of them. */
export function grid(schedule: Schedule, n: number, spacing: Spacing = "uniform", rho = 7): Level[] {
  let times: number[];
  if (schedule.discrete) {
    const T = schedule.tMax + 1;
    n = Math.min(n, T);
    times =
      spacing === "trailing"
        ? Array.from({ length: n }, (_, i) => roundHalfEven(T - i * (T / n)) - 1)
        : rawTimes(schedule, n, spacing, rho).map(roundHalfEven);
    let before = Infinity;
    times = times.map((t, i) => {
      const rest = n - 1 - i; // neighbours that became equal by rounding are separated
      before = Math.min(before, Math.max(t, rest) - rest);
      return before + rest;
    });
  } else {
    times = rawTimes(schedule, n, spacing, rho);
  }
  return [...times.map((t) => schedule.at(t)), { t: 0, alpha: 1, sigma: 0 }];
}

/** Standard deviation of the starting noise: that of x_t for data of variance 1. */
export const priorStd = (level: Level): number => Math.hypot(level.alpha, level.sigma);
