// How does the page compute by itself? One session: a law, a training set, a network with its states.

import { relate, slicedWasserstein, type Ratio } from "./distance.js";
import { Guided, type Denoiser } from "./denoiser.js";
import { Exact, type Scaling } from "./exact.js";
import { Law, lawsOfClasses, type Point } from "./laws.js";
import { Memory } from "./memory.js";
import { makeNetwork, type Network } from "./network.js";
import type {
  Adjustment, Budget, Display, Field, FieldRequest, Interval, LevelErrors, Part, Path, PathRequest, Progress, Question,
  Questions, Ready, Recipe, SamplingSettings, Saved, Setup, Trained, Walk, WalkRequest, Which,
} from "./protocol.js";
import { Random } from "./random.js";
import { evaluations, trajectory } from "./samplers.js";
import { grid, makeSchedule, priorStd, type Level, type Schedule } from "./schedules.js";
import { Learned, lossOf, Trainer, type Reading } from "./training.js";

const SLICE_MS = 30; // of training, between which questions are answered
const REPORT_MS = 120; // between reports
const SHOWN = 600; // samples of a report
const SNAPSHOTS = 32;
const POSTERIOR = 400;
const FINE = 50; // steps that stand for infinitely many

const now = (): number => performance.now();
const pause = (): Promise<void> => new Promise((go) => setTimeout(go, 0));

interface Snapshot {
  step: number;
  weights: Float32Array;
}

interface Session {
  setup: Setup;
  scaling: Scaling;
  exact: Exact;
  /** The perfect denoiser of the training set. */
  empirical: Exact;
  /** The exact denoisers of the classes, if there are any, and the class of each training point. */
  classes: Exact[];
  labels: Uint8Array;
  /** The training set (N, 2) in the units of the model. */
  data: Float32Array;
  display: Display;
}

/** A network in memory, as a denoiser. */
interface Held {
  network: Network;
  schedule: Schedule;
  reading: Reading;
  weights: number;
}

/** The engine that needs nothing but the page. */
export class LocalEngine {
  onProgress: (progress: Progress) => void = () => undefined;
  private readonly memory: Memory;
  private session: Session | null = null;
  private held: Held | null = null;
  private snapshots: Snapshot[] = [];
  private start = 0;
  private shown: number | null = null;
  private training = 0;
  private trainer: Trainer | null = null;
  /** Distances that were measured of this network, by what was asked. */
  private readonly measured = new Map<string, number[]>();

  constructor(binary: Uint8Array | null) {
    this.memory = Memory.make(binary);
    this.start = this.memory.mark();
  }

  /** Answer a question; what is not known is an Error. */
  async ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]> {
    const answers: { [K in Question]: (ask: Questions[K]["ask"]) => Questions[K]["answer"] | Promise<Questions[K]["answer"]> } = {
      setup: (a) => this.setup(a),
      walk: (a) => this.walk(a),
      forward: (a) => this.forward(a),
      field: (a) => this.field(a),
      path: (a) => this.path(a),
      real: ({ n, seed }) => this.need().exact.draw(n, new Random(seed, "real")),
      quality: (a) => this.quality(a),
      budget: (a) => this.budget(a),
      heart: ({ n }) => this.heart(n),
      irreducible: (a) => this.irreducible(a.batches),
      levels: (a) => this.levels(a.n, a.snapshot),
      train: (a) => this.train(a.recipe, a.seed),
      attach: () => null,
      adjust: (a) => this.adjust(a),
      save: () => this.save(),
      standardise: () => {
        const { setup, data, scaling, labels } = this.need();
        const raw = data.map((v, i) => v * scaling.scale[i % 2]! + scaling.shift[i % 2]!);
        return this.setup({ ...setup, data: raw, labels, scaling: null, tensors: null });
      },
      keep: () => Promise.reject(new Error("A page keeps no runs.")),
      load: () => Promise.reject(new Error("A page has no recorded runs.")),
      stop: () => {
        this.training++;
        return null;
      },
    };
    return answers[question](ask);
  }

  private need(): Session {
    if (!this.session) throw new Error("Nothing is set up yet.");
    return this.session;
  }

  private setup(setup: Setup): Ready {
    this.training++;
    const law = new Law(setup.law);
    const labels = setup.labels ?? new Uint8Array(setup.data ? setup.data.length / 2 : setup.size);
    const raw = setup.data ?? law.draw(setup.size, new Random(setup.seed, "data"), labels);
    const scaling = setup.scaling ?? standard(raw);
    const exact = new Exact(this.memory, law, scaling);
    const empirical = new Exact(this.memory, new Law({ kind: "points", points: raw }), scaling);
    const classes = lawsOfClasses(setup.law).map((own) => new Exact(this.memory, own, scaling));
    const data = raw.map((v, i) => (v - scaling.shift[i % 2]!) / scaling.scale[i % 2]!);
    const display = displayOf(data);
    this.session = { setup: { ...setup, scaling }, scaling, exact, empirical, classes, labels, data, display };
    this.hold(setup.recipe, (network) => (setup.tensors ? network.read(setup.tensors) : null), setup.seed);
    const real = data.subarray(0, 2 * Math.min(4000, data.length / 2)).slice();
    const known = setup.law.kind !== "points";
    const shown = { real, classes: classes.length, labels: labels.slice(0, real.length / 2) };
    return { display, scaling, ...shown, known, fast: this.memory.fast, weights: this.held!.network.size };
  }

  /** Put a network into fresh memory, with these weights, or untrained. */
  private hold(recipe: Recipe, read: (network: Network) => Float32Array | null, seed: number): void {
    this.memory.release(this.start);
    const network = makeNetwork(this.memory, { ...recipe.network, classes: this.need().classes.length || (recipe.network.classes ?? 0) });
    const vector = read(network) ?? network.fresh(new Random(seed, "weights"));
    const reading = { prediction: recipe.denoiser.prediction, sigmaData: recipe.denoiser.sigma_data };
    const schedule = makeSchedule(recipe.schedule);
    this.held = { network, schedule, reading, weights: this.memory.put(vector) };
    this.snapshots = [];
    this.shown = null;
    this.measured.clear();
  }

  /** The denoiser of this name, of a class with guidance where one is asked for. */
  private denoiser(which: Which, snapshot: number | null, asked: { label?: number | null; guidance?: number } = {}): Denoiser {
    const { label = null, guidance = 1 } = asked;
    const free = this.ofClass(which, snapshot, null);
    if (label === null) return free;
    const own = this.ofClass(which, snapshot, label);
    return guidance === 1 ? own : new Guided(own, free, guidance);
  }

  /** The denoiser of a class, or of all; of a training in the page, at one of its states. */
  private ofClass(which: Which, snapshot: number | null, label: number | null): Denoiser {
    const { empirical, classes } = this.need();
    if (which === "exact") return this.source(label);
    if (which === "set") return label === null ? empirical : (classes[label] ?? empirical);
    const { network, reading, weights } = this.held!;
    if (this.snapshots.length && snapshot !== this.shown) {
      const found = this.snapshots[snapshot ?? this.snapshots.length - 1];
      if (!found) throw new Error("There is no such state of the training.");
      this.memory.view(weights, network.size).set(found.weights);
      this.shown = snapshot;
    }
    return new Learned(this.memory, network, reading, weights, label);
  }

  /** The law of a class, or of all. */
  private source(label: number | null | undefined): Exact {
    const { exact, classes } = this.need();
    return (label === null || label === undefined ? null : classes[label]) ?? exact;
  }

  private grid(sampling: SamplingSettings, schedule = this.held!.schedule): Level[] {
    const steps = sampling.fine ? Math.min(FINE, stepsAtMost(schedule)) : sampling.steps;
    return grid(schedule, steps, sampling.fine ? "karras" : sampling.spacing, sampling.rho);
  }

  private trajectory(denoiser: Denoiser, start: Float32Array, levels: Level[], sampling: SamplingSettings, random: Random): Generator<Float32Array> {
    return trajectory(denoiser, start, levels, sampling.fine ? { name: "heun" } : sampling, random);
  }

  private noise(n: number, levels: Level[], random: Random, sampling: SamplingSettings): Float32Array {
    const level = levels[0]!;
    if (!sampling.start) return random.normals(2 * n, priorStd(level));
    return this.source(sampling.label).draw(n, random).map((v) => level.alpha * v + level.sigma * random.normal());
  }

  private ends(denoiser: Denoiser, n: number, sampling: SamplingSettings, seed: number): Float32Array {
    const random = new Random(seed, "sampling");
    const levels = this.grid(sampling);
    let last = this.noise(n, levels, random, sampling);
    for (const state of this.trajectory(denoiser, last, levels, sampling, random)) last = state;
    return last;
  }

  private walk({ n, seed, which, sampling, snapshot }: WalkRequest): Walk {
    const began = now();
    const random = new Random(seed, "sampling");
    const levels = this.grid(sampling);
    const start = this.noise(n, levels, random, sampling);
    const states = new Float32Array(levels.length * 2 * n);
    let i = 0;
    for (const state of this.trajectory(this.denoiser(which, snapshot, sampling), start, levels, sampling, random)) {
      states.set(state, 2 * n * i++);
    }
    const asked = n * evaluations(sampling.fine ? "heun" : sampling.name, levels.length - 1);
    return { states, n, levels, evaluations: asked, seconds: (now() - began) / 1000 };
  }

  /** Real points on their way to noise, each with one noise of its own; the first state is the noisiest. */
  private forward({ n, seed, sampling, schedule }: Questions["forward"]["ask"]): Walk {
    const began = now();
    const random = new Random(seed, "forward");
    const levels = this.grid(sampling, schedule ? makeSchedule(schedule) : this.held!.schedule);
    const x = this.source(sampling.label).draw(n, random);
    const eps = random.normals(2 * n);
    const states = new Float32Array(levels.length * 2 * n);
    levels.forEach(({ alpha, sigma }, i) => {
      for (let j = 0; j < 2 * n; j++) states[2 * n * i + j] = alpha * x[j]! + sigma * eps[j]!;
    });
    return { states, n, levels, evaluations: 0, seconds: (now() - began) / 1000 };
  }

  private field({ x, level, snapshot, ...asked }: FieldRequest): Field {
    const { label = null, guidance = 1 } = asked;
    const free = this.need().exact.logDensity(x, level);
    const own = label === null ? free : this.source(label).logDensity(x, level);
    return {
      learned: this.denoiser("learned", snapshot, asked).denoise(x, level),
      exact: this.denoiser("exact", snapshot, asked).denoise(x, level),
      // The density whose score guidance follows, up to a factor: q(x_t) (q(x_t | c) / q(x_t))^w.
      logDensity: own.map((v, i) => free[i]! + (label === null ? 1 : guidance) * (v - free[i]!)),
    };
  }

  private path({ x, from, sampling, snapshot }: PathRequest): Path {
    const exact = this.denoiser("exact", snapshot, sampling);
    const all = this.grid(sampling);
    const levels = all.slice(Math.min(from, all.length - 2));
    const level = levels[0]!;
    // The exact solution has no noise of its own: a sampler that draws some takes its deterministic form.
    const name = sampling.fine ? "heun" : sampling.name === "ddpm" ? "ddim" : sampling.name;
    const settings = { ...sampling, name, eta: 0 } as const;
    const follow = (denoiser: Denoiser): Float32Array => {
      const states = [...trajectory(denoiser, Float32Array.from(x), levels, settings, new Random(0, "path"))];
      return Float32Array.from(states.flatMap((state) => [...state]));
    };
    const learned = this.denoiser("learned", snapshot, sampling);
    const point = Float32Array.from(x);
    const [mean, answer] = [exact.denoise(point, level), learned.denoise(point, level)];
    return {
      learned: follow(learned),
      exact: follow(exact),
      levels,
      posterior: this.source(sampling.label).posterior(x, level, POSTERIOR, new Random(1, "posterior")),
      mean: [mean[0]!, mean[1]!],
      answer: [answer[0]!, answer[1]!],
    };
  }

  /** Distances are measured in the units of the data. */
  private inData(x: Float32Array): Float32Array {
    const { scale } = this.need().scaling;
    return x.map((value, i) => value * scale[i % 2]!);
  }

  /** Fresh real points, in the units of the data; equal names give equal points. */
  private fresh(n: number, name: string, i: number, label?: number | null): Float32Array {
    return this.inData(this.source(label).draw(n, new Random(i, `quality ${name}`)));
  }

  /** Distances, each made once for a network. */
  private async once(key: string, count: number, one: (i: number) => number): Promise<number[]> {
    let found = this.measured.get(key);
    if (!found) {
      found = [];
      for (let i = 0; i < count; i++) {
        found.push(one(i));
        await pause();
      }
      this.measured.set(key, found);
    }
    return found;
  }

  /** Distances of samples from fresh data: always of the same noise, and of the same data. */
  private distances(which: Which, n: number, draws: number, sampling: SamplingSettings): Promise<number[]> {
    const denoiser = this.denoiser(which, null, sampling);
    return this.once(JSON.stringify([which, n, draws, sampling]), draws, (i) =>
      slicedWasserstein(this.inData(this.ends(denoiser, n, sampling, 1000 + i)), this.fresh(n, "real", i, sampling.label)),
    );
  }

  private floors(n: number, draws: number, label?: number | null): Promise<number[]> {
    const one = (i: number): number => slicedWasserstein(this.fresh(n, "a", i, label), this.fresh(n, "b", i, label));
    return this.once(`floors ${n} ${draws} ${label}`, 2 * draws, one);
  }

  /** How far samples are from fresh data, over how far fresh data is from fresh data. */
  private async quality({ which, n, draws, sampling }: Questions["quality"]["ask"]): Promise<Ratio> {
    return relate(await this.distances(which, n, draws, sampling), await this.floors(n, draws, sampling.label));
  }

  /** What each part of the way costs: it is exchanged for an exact one, with all else the same. */
  private async budget({ n, draws, sampling }: Questions["budget"]["ask"]): Promise<Budget> {
    const { setup, labels } = this.need();
    const { label } = sampling;
    const data = this.need().data.filter((_, i) => label === null || label === undefined || labels[i >> 1] === label);
    const floors = await this.floors(n, draws, label);
    const real = (i: number): Float32Array => this.fresh(n, "real", i, label);
    const base = await this.once(`base ${n} ${label}`, draws, (i) => slicedWasserstein(this.fresh(n, "other", i, label), real(i)));
    const remembered = await this.once(`set ${n} ${label}`, draws, (i) => {
      const random = new Random(i, "set");
      const drawn = new Float32Array(2 * n);
      for (let j = 0; j < n; j++) {
        const k = random.below(data.length / 2);
        drawn.set(data.subarray(2 * k, 2 * k + 2), 2 * j);
      }
      return slicedWasserstein(this.inData(drawn), real(i));
    });
    const given = await this.distances("exact", n, draws, { ...sampling, start: true });
    const exact = await this.distances("exact", n, draws, sampling);
    const own = await this.distances("learned", n, draws, sampling);
    const known = setup.law.kind !== "points";
    const of = (part: Part, value: (i: number) => number): Budget["parts"][0] => ({
      part, ...relate(base.map((_, i) => value(i)), floors, -Infinity),
    });
    const set = (i: number): number => (known ? remembered[i]! - base[i]! : 0);
    const parts = [
      of("steps", (i) => given[i]! - (known ? base : remembered)[i]!),
      of("start", (i) => exact[i]! - given[i]!),
      of("set", set),
      of("network", (i) => own[i]! - exact[i]! - set(i)),
    ];
    return { real: relate(base, floors).ratio, parts, total: relate(own, floors), exact: relate(exact, floors) };
  }

  /** How many samples lie as near to training points as only half of all fresh points do. */
  private heart(n: number): number {
    const { exact, data, setup } = this.need();
    const made = this.ends(this.denoiser("learned", null), n, setup.recipe.sampling, 9);
    const half = nearest(exact.draw(n, new Random(9, "heart")), data).sort()[n >> 1]!;
    return nearest(made, data).filter((d) => d < half).length / n;
  }

  /** A trainer on the session's data whose batches are like those of a training; it takes no steps. */
  private batches(recipe: Recipe, seed: number): Trainer {
    const { network, schedule, reading } = this.held!;
    const zero = new Float32Array(network.size);
    const { loss, times, training } = recipe;
    const { data, labels, classes } = this.need();
    return new Trainer(
      this.memory, network, reading, schedule, loss, times, training, data, seed, zero, classes.length ? labels : null, classes.length,
    );
  }

  /** The loss of the exact denoiser on batches of the training: what no network can get below. */
  private irreducible(count: number): Interval {
    const { exact, setup } = this.need();
    const mark = this.memory.mark();
    const trainer = this.batches(setup.recipe, 77);
    const losses = Array.from({ length: count }, () => {
      const batch = trainer.batch();
      const answers = exact.denoiseEach(batch.xt, batch.levels);
      this.need().classes.forEach((own, k) => {
        const each = own.denoiseEach(batch.xt, batch.levels);
        batch.labels!.forEach((label, i) => label === k && answers.set(each.subarray(2 * i, 2 * i + 2), 2 * i));
      });
      return lossOf(setup.recipe.loss, this.held!.reading, batch, answers);
    });
    this.memory.release(mark);
    const mean = losses.reduce((a, b) => a + b, 0) / count;
    const half = 1.96 * Math.sqrt(losses.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (count - 1) / count);
    return { value: mean, low: mean - half, high: mean + half };
  }

  /** Where the network is wrong: level by level, beside the error that no network can avoid. */
  private levels(n: number, snapshot: number | null): LevelErrors {
    const { exact, setup } = this.need();
    const denoiser = this.denoiser("learned", snapshot);
    const random = new Random(5, "levels");
    const x0 = exact.draw(n, random);
    const eps = random.normals(2 * n);
    const out: LevelErrors = { ratio: [], learned: [], exact: [], excess: [] };
    const all = this.grid({ ...setup.recipe.sampling, steps: Math.min(16, stepsAtMost(this.held!.schedule)), spacing: "karras" });
    for (const level of all.slice(0, -1)) {
      const xt = x0.map((v, i) => level.alpha * v + level.sigma * eps[i]!);
      const [a, b] = [denoiser.denoise(xt, level), exact.denoise(xt, level)];
      const mean = (f: (i: number) => number): number => {
        let sum = 0;
        for (let i = 0; i < 2 * n; i++) sum += f(i) ** 2;
        return sum / (2 * n);
      };
      const [learned, least] = [mean((i) => a[i]! - x0[i]!), mean((i) => b[i]! - x0[i]!)];
      out.ratio.push(level.sigma / level.alpha);
      out.learned.push(learned);
      out.exact.push(least);
      out.excess.push(Math.sqrt(mean((i) => a[i]! - b[i]!)) / this.need().display.spread);
    }
    return out;
  }

  /** Train anew on the session's data, in slices; questions are answered meanwhile. */
  private async train(recipe: Recipe, seed: number): Promise<Trained> {
    const session = this.need();
    const own = ++this.training;
    session.setup = { ...session.setup, recipe };
    this.hold(recipe, () => null, seed);
    const { network, schedule, reading, weights } = this.held!;
    const { loss, times, training } = recipe;
    const start = this.memory.view(weights, network.size).slice();
    const { data, labels, classes } = session;
    const trainer = new Trainer(
      this.memory, network, reading, schedule, loss, times, training, data, seed, start, classes.length ? labels : null, classes.length,
    );
    this.trainer = trainer;
    const quick: SamplingSettings = {
      name: "dpmpp_2m", spacing: "karras", rho: 7, steps: Math.min(14, stepsAtMost(schedule)),
    };
    const began = now();
    const real = (i: number): Float32Array => this.inData(session.exact.draw(SHOWN, new Random(i, "progress")));
    const against = real(0);
    const floors = Array.from({ length: 8 }, (_, i) => slicedWasserstein(real(2 * i + 1), real(2 * i + 2)));
    const floor = floors.reduce((a, b) => a + b, 0) / floors.length;
    let [total, count, reported] = [0, 0, 0];
    const report = (): void => {
      this.memory.view(weights, network.size).set(this.memory.view(trainer.best, network.size));
      this.shown = null;
      const samples = this.ends(new Learned(this.memory, network, reading, weights), SHOWN, quick, 3);
      const seconds = (now() - began) / 1000;
      const ratio = slicedWasserstein(this.inData(samples), against) / floor;
      this.onProgress({ step: trainer.step, steps: training.steps, loss: total / count, seconds, samples, ratio });
      [total, count, reported] = [0, 0, now()];
    };
    while (!trainer.done && own === this.training) {
      const until = now() + SLICE_MS;
      while (!trainer.done && now() < until) {
        const value = trainer.stepOn(trainer.batch());
        if (!Number.isFinite(value)) throw new Error(`The loss of step ${trainer.step} is not finite.`);
        total += value;
        count++;
        this.keep(trainer);
      }
      if (now() - reported > REPORT_MS || trainer.done) report();
      await pause();
    }
    this.trainer = null;
    if (own === this.training) this.training++;
    else if (this.held?.network !== network) throw new Error("Another training has begun.");
    this.keep(trainer, true);
    this.memory.view(weights, network.size).set(this.memory.view(trainer.best, network.size));
    this.shown = null;
    return {
      step: trainer.step,
      seconds: (now() - began) / 1000,
      stopped: !trainer.done,
      snapshots: this.snapshots.map((s) => s.step),
    };
  }

  /** Change settings of the training that runs. */
  private adjust({ distance, ...training }: Adjustment): boolean {
    const { trainer } = this;
    if (!trainer) return false;
    const { session } = this;
    trainer.settings = { ...trainer.settings, ...training };
    trainer.loss = { ...trainer.loss, distance };
    session!.setup = { ...session!.setup, recipe: { ...session!.setup.recipe, loss: trainer.loss } };
    return true;
  }

  /** The weights in the order of this engine, with the frequencies that are not trained. */
  private save(): Saved {
    const { network, weights } = this.held!;
    const vector = this.memory.view(weights, network.size).slice();
    return { html: null, tensors: { vector: { shape: [vector.length], values: vector }, ...network.fixed() } };
  }

  /** Keep states of a training, evenly in the root of the step: much happens early. */
  private keep(trainer: Trainer, last = false): void {
    const place = (step: number): number => Math.floor(SNAPSHOTS * Math.sqrt(step / trainer.settings.steps));
    if (!last && place(trainer.step) === place(trainer.step - 1)) return;
    if (this.snapshots.at(-1)?.step === trainer.step) return;
    const weights = this.memory.view(trainer.best, trainer.network.size).slice();
    this.snapshots.push({ step: trainer.step, weights });
  }
}

const stepsAtMost = (schedule: Schedule): number => (schedule.discrete ? schedule.tMax + 1 : Infinity);

/** Squared distances (n) of points to the nearest of others. */
function nearest(x: Float32Array, others: Float32Array): Float32Array {
  const out = new Float32Array(x.length / 2).fill(Infinity);
  for (let i = 0; i < out.length; i++) {
    for (let j = 0; j < others.length; j += 2) {
      out[i] = Math.min(out[i]!, (x[2 * i]! - others[j]!) ** 2 + (x[2 * i + 1]! - others[j + 1]!) ** 2);
    }
  }
  return out;
}

/** The map of points (n, 2) to mean 0 and deviation 1 along each axis. */
function standard(x: Float32Array): Scaling {
  const n = x.length / 2;
  const mean = (f: (i: number) => number): number => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += f(i);
    return sum / n;
  };
  const shift = [0, 1].map((d) => mean((i) => x[2 * i + d]!)) as Point;
  const scale = [0, 1].map((d) => Math.sqrt(mean((i) => (x[2 * i + d]! - shift[d]!) ** 2)) || 1) as Point;
  return { shift, scale };
}

/** Where points are in the units of the model, for a picture of one size at every level. */
function displayOf(x: Float32Array): Display {
  const n = x.length / 2;
  const middle: Point = [0, 0];
  for (let i = 0; i < 2 * n; i++) middle[i % 2]! += x[i]! / n;
  let square = 0;
  for (let i = 0; i < 2 * n; i++) square += (x[i]! - middle[i % 2]!) ** 2 / (2 * n);
  return { middle, spread: Math.sqrt(square) || 1 };
}
