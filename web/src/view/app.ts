// What does one see and do? The page of a run: its picture, its ruler, and the cards beside them.

import type { Ratio } from "../engine/distance.js";
import type {
  Adjustment, Budget, Engine, Interval, LevelErrors, Path, Progress, Ready, Recipe, SamplingSettings, Trained, Walk, Which,
} from "../engine/protocol.js";
import type { LawSpec } from "../engine/laws.js";
import type { SamplerName } from "../engine/samplers.js";
import { ratioOf, type ScheduleSettings } from "../engine/schedules.js";
import type { Hello } from "../engine/remote.js";
import { BudgetCard } from "./budget.js";
import { CLASS_COLOURS, ClassCard } from "./classes.js";
import { callOf, linkOf, readLink, readSeen, type Chosen, type Seen } from "./choices.js";
import { Latest, Segments } from "./controls.js";
import { digits, h, messageOf, named, on, put, whole } from "./dom.js";
import { ErrorsCard } from "./errors.js";
import { drawnDensity } from "./densities.js";
import { drawn, type Drawn, gridInModel, type FieldKind, type Side } from "./fields.js";
import { History } from "./history.js";
import { findingOf, MendCard, type Finding } from "./mend.js";
import { Pad } from "./pad.js";
import { pack, type Payload } from "./payload.js";
import { PointCard } from "./point.js";
import { QualityCard } from "./quality.js";
import { Race } from "./race.js";
import { Ruler } from "./ruler.js";
import { SamplerCard, type Drawing } from "./sampler.js";
import { pageOf, savingCard } from "./saving.js";
import { ScheduleCard } from "./schedule.js";
import { CLEAN, shown, Stage, unshown, type Scene } from "./stage.js";
import { onKeys, Top } from "./top.js";
import { TrainingCard } from "./training.js";
import { Speaker, type Language, type Word } from "./words.js";

const NUDGE = 0.08;

type Mode = "walk" | "forward";

interface Loaded {
  walk: Walk;
  mode: Mode;
}

export interface Options {
  language: Language;
  /** What the address says behind its #. */
  chosen: URLSearchParams;
  /** Whether a training runs already, and what it has come to. */
  running: boolean;
  /** Whether the network is to be trained at once. */
  untrained?: boolean;
  trained: Trained | null;
  losses: { x: number[]; y: number[] };
}

/** The page of one run. */
export class App {
  private readonly speaker: Speaker;
  private readonly stage: Stage;
  private recipe: Recipe;
  private sampling: SamplingSettings;
  private loaded: Loaded | null = null;
  private mode: Mode = "walk";
  private which: Which = "learned";
  private field: FieldKind = "none";
  private side: Side = "learned";
  private n: number;
  private seed = 0;
  private showReal = true;
  private twoClouds = false;
  private snapshot: number | null = null;
  private trained: Trained | null = null;
  private training: Progress | null = null;
  private path: Path | null = null;
  private probe: [number, number] | null = null;
  private drawnField: Drawn | null = null;
  private here: Ratio | null = null;
  private floor: Interval | null = null;
  private errors: LevelErrors | null = null;
  private lossHere: { x: number[]; y: number[] };
  private trouble: string | null = null;
  private budget: Budget | null = null;
  /** A schedule that is looked at before anything is trained with it. */
  private preview: ScheduleSettings | null = null;
  private adjusted = false;
  private anew = false;
  private own: Chosen;
  private standard = false;
  /** Points of one's own that were pasted. */
  private points: Float32Array | null = null;
  private readonly closing = new AbortController();
  private readonly top: Top;
  private readonly ruler: Ruler;
  private readonly quality: QualityCard;
  private readonly lossCard: TrainingCard;
  private readonly levels: ErrorsCard;
  private readonly point: PointCard;
  private readonly switches: BudgetCard;
  private readonly mending: MendCard;
  private readonly classes: ClassCard;
  private readonly schedule: ScheduleCard;
  private readonly pad: Pad;
  private readonly race: Race;
  private readonly sampler: SamplerCard;
  private readonly walks = new Latest(() => this.loadWalk());
  private readonly fields = new Latest(() => this.loadField());
  private readonly paths = new Latest(() => this.loadPath());
  private readonly measures = new Latest(() => this.measure());
  private told = 0;
  /** What the link looks at, until that is shown. */
  private toSee: Seen | null = null;

  // what is on the page
  private readonly history: History;
  private readonly sentence = h("p", { class: "sentence" });
  private readonly live = h("div", { "aria-live": "polite", class: "sentence" });
  private readonly modes: Segments<Mode>;
  private readonly kinds: Segments<FieldKind>;
  private readonly sides: Segments<Side>;
  private readonly engineNote = h("p");
  private law: LawSpec | null;
  private size: number;
  private heart: number | null = null;

  constructor(
    private readonly engine: Engine,
    private payload: Payload,
    private ready: Ready,
    options: Options,
  ) {
    this.speaker = new Speaker(options.language);
    this.recipe = payload.recipe;
    this.sampling = { ...payload.recipe.sampling };
    this.law = payload.law.kind === "points" ? null : (payload.law as LawSpec);
    this.size = payload.size;
    this.n = payload.counts.shown;
    this.lossHere = options.losses;
    this.trained = options.trained;
    this.stage = new Stage(ready.display, options.chosen.get("webgl") !== "0");
    this.stage.setReal(ready.real, ready.labels);
    const { speaker } = this;
    this.top = new Top(speaker, () => this.again(), this.closing.signal);
    this.ruler = new Ruler(speaker, (other) => this.moved(other), () => {
      this.showErrors();
      if (this.probe) void this.paths.ask();
    });
    this.modes = new Segments<Mode>(
      speaker, "what",
      [
        { value: "walk", word: "samples" },
        { value: "forward", word: "forward" },
      ],
      "walk",
      (mode) => this.change({ mode }),
    );
    this.kinds = new Segments<FieldKind>(
      speaker, "field",
      [
        { value: "none", word: "none" },
        { value: "score", word: "score", title: "scoreTitle" },
        { value: "velocity", word: "velocity", title: "velocityTitle" },
        { value: "density", word: "density", title: "densityTitle" },
      ],
      "none",
      (field) => this.change({ field }),
    );
    this.sides = new Segments<Side>(
      speaker, "answeredBy",
      [
        { value: "learned", word: "learned" },
        { value: "exact", word: "exact" },
        { value: "difference", word: "difference" },
      ],
      "learned",
      (side) => this.change({ side }),
    );
    this.quality = new QualityCard(speaker, () => void this.showFloor());
    this.lossCard = new TrainingCard(speaker, this.recipe, payload.size, {
      train: () => void this.train(),
      stop: () => void this.engine.ask("stop", null),
      set: () => void this.adjust(),
      call: () => this.call(),
    });
    this.levels = new ErrorsCard(speaker, (ratio) => this.goTo(ratio));
    this.point = new PointCard(speaker, () => {
      this.probe = this.path = null;
      this.refresh();
    });
    this.own = this.chosen();
    this.mending = new MendCard(
      speaker, (finding, here) => void this.guard(() => this.mend(finding, here)),
      engine.name === "remote" ? () => void this.guard(() => this.load(0)) : null,
    );
    this.switches = new BudgetCard(speaker, () => this.exchange());
    this.classes = new ClassCard(speaker, () => this.exchange());
    this.schedule = new ScheduleCard(
      speaker, this.recipe.schedule, this.recipe.network.name === "article_mlp", () => this.ready.display.spread,
      (schedule) => this.look(schedule), (schedule) => void this.train(schedule),
    );
    this.pad = new Pad(
      speaker, this.stage, () => this.loaded && this.refresh(), (law, name) => void this.take(law, name ?? speaker.say("drawnName")),
      () => this.pad.show(false),
    );
    this.history = new History(speaker, (index) => this.setSnapshot(index));
    this.sampler = new SamplerCard(
      speaker, { name: this.sampling.name, steps: this.sampling.steps, points: this.n }, this.mostSteps,
      (wanted) => this.drawBy(wanted), () => this.drawAnew(),
    );
    this.race = new Race(speaker, engine, () => this.sampling, () => this.ready.known, this.mostSteps);
    engine.onProgress = (progress) => this.onProgress(progress);
    this.build();
    this.listen();
    void (options.untrained ? this.train() : this.start(options.running, options.chosen));
  }

  get language(): Language {
    return this.speaker.language;
  }

  /** How far a training is. */
  get step(): number {
    return this.training?.step ?? this.trained?.step ?? 0;
  }

  /** See `Top.announce`. */
  announce(word: Word, act?: () => void): void {
    this.top.announce(word, act);
  }

  /** Listen to nothing more: another page comes in the place of this one. */
  close(): void {
    this.closing.abort();
    this.ruler.play(false);
    this.engine.onProgress = () => undefined;
  }

  private async start(running: boolean, link: URLSearchParams): Promise<void> {
    const wanted = readLink(link, this.own);
    this.toSee = readSeen(link);
    if (wanted && (await this.apply(wanted))) return;
    if (running) {
      await this.follow(this.recipe.training.steps, () => this.engine.ask("attach", null));
      return;
    }
    await this.walks.ask();
    if (this.toSee) await this.turn();
    else if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.ruler.play(true);
    else this.ruler.moveTo(this.ruler.steps);
    await this.guard(async () => {
      if (this.ready.known) this.floor = await this.engine.ask("irreducible", { batches: this.payload.counts.batches });
      this.showLoss();
      await this.loadErrors();
    });
    await this.measures.ask();
  }

  /** Look, once, at what the link looks at. */
  private async turn(): Promise<void> {
    const seen = this.toSee;
    this.toSee = null;
    if (!seen) return;
    const { mode, field, side, level, point, exact } = seen;
    this.switches.reset(exact);
    const parts = this.switches.exact;
    this.which = this.switches.which;
    this.sampling = { ...this.sampling, start: parts.has("start"), fine: parts.has("steps") };
    this.mode = this.modes.value = mode;
    await this.walks.ask();
    this.ruler.moveTo(level === null ? this.ruler.steps : this.ruler.positionAt(level));
    this.kinds.value = field;
    this.sides.value = side;
    if (point) this.ask(point);
    this.change({ field, side });
  }

  /** What is looked at now. */
  private seen(): Seen {
    const { mode, field, side, probe, ruler } = this;
    return { mode, field, side, exact: [...this.switches.exact], level: ruler.ends ? null : ratioOf(ruler.level), point: probe };
  }

  /** Do something that may fail, and say so where it does. */
  private async guard<T>(work: () => Promise<T>): Promise<T | null> {
    let answer: T | null = null;
    try {
      answer = await work();
      this.trouble = null;
    } catch (error) {
      this.trouble = messageOf(error);
    }
    this.say();
    return answer;
  }

  private get mostSteps(): number {
    const T = this.recipe.schedule["T"];
    return typeof T === "number" ? T : 500;
  }

  private change(what: { mode?: Mode; field?: FieldKind; side?: Side }): void {
    if (what.mode) this.mode = what.mode;
    if (what.field) this.field = what.field;
    if (what.side) this.side = what.side;
    this.twoClouds = false;
    if (what.mode) void this.walks.ask();
    if (this.field === "none") this.drawnField = null;
    void this.fields.ask();
    this.refresh();
  }

  private async loadWalk(): Promise<void> {
    await this.guard(async () => {
      const { mode, which, n, seed, sampling, snapshot } = this;
      const walk =
        mode === "forward"
          ? await this.engine.ask("forward", { n, seed, sampling, schedule: this.preview })
          : await this.engine.ask("walk", { n, seed, which, sampling, snapshot });
      this.loaded = { walk, mode };
      this.putStates();
      this.ruler.take(walk.levels);
      this.showErrors();
      if (this.field === "density") void this.fields.ask();
      if (this.probe && !this.path) void this.paths.ask(); // clicked before there were samples
    });
  }

  private putStates(): void {
    const { walk } = this.loaded!;
    const { n } = walk;
    const out = new Float32Array(walk.states.length);
    walk.levels.forEach((level, i) => {
      shown(this.ready.display, level, walk.states.subarray(2 * n * i, 2 * n * (i + 1)), out, 2 * n * i);
    });
    this.stage.setStates(out, n);
  }

  private async loadField(): Promise<void> {
    if (this.field === "none" || !this.loaded) return;
    await this.guard(async () => {
      const { field, side } = this;
      const { level } = this.ruler;
      const x = gridInModel(this.ready.display, level);
      const { label = null, guidance = 1 } = this.sampling;
      const answer = await this.engine.ask("field", { x, level, snapshot: this.snapshot, label, guidance });
      if (this.field === "none" || !this.loaded) return;
      const { states, n: count } = this.loaded.walk;
      const { index } = this.ruler;
      this.drawnField =
        field === "density"
          ? drawnDensity(side, this.ready.display, level, answer, states.subarray(2 * count * index, 2 * count * (index + 1)))
          : drawn(field, side, this.ready.display, level, answer);
    });
    this.refresh();
  }

  private async loadPath(): Promise<void> {
    if (!this.probe || !this.loaded) return;
    await this.guard(async () => {
      const x = unshown(this.ready.display, this.ruler.level, Float32Array.from(this.probe!));
      const { sampling, snapshot } = this;
      const asked = { x: [x[0]!, x[1]!] as [number, number], from: this.ruler.index, sampling, snapshot };
      const path = await this.engine.ask("path", asked);
      this.path = this.probe ? path : null;
    });
    this.refresh();
  }

  private async loadErrors(): Promise<void> {
    this.errors = await this.engine.ask("levels", { n: this.payload.counts.errors, snapshot: this.snapshot });
    this.showErrors();
    this.refresh();
  }

  /** Measure the samples as they are drawn now; once for a network, what each part costs. */
  private async measure(): Promise<void> {
    this.here = null;
    this.showQuality(true);
    await this.guard(async () => {
      const { sampling, which } = this;
      const size = { ...this.payload.counts.clouds, sampling };
      this.here = await this.engine.ask("quality", { which, ...size, ...(which === "set" ? { draws: 4 } : {}) });
      this.showQuality(true);
      if (this.budget) return;
      if (this.ready.known && this.heart === null) this.heart = await this.engine.ask("heart", { n: 500 });
      this.showQuality(true);
      this.budget = await this.engine.ask("budget", { ...size, sampling: { ...sampling, start: false, fine: false } });
    });
    this.showQuality(false);
  }

  /** Draw and measure with the parts that are chosen now. */
  private exchange(): void {
    const { exact, which } = this.switches;
    const { label, guidance } = this.classes;
    if (label !== this.sampling.label || guidance !== this.sampling.guidance) this.budget = null;
    this.which = which;
    this.sampling = { ...this.sampling, start: exact.has("start"), fine: exact.has("steps"), label, guidance };
    this.twoClouds = false;
    void this.fields.ask();
    if (this.training) return;
    this.here = null;
    this.showQuality(true);
    void this.walks.ask();
    if (this.probe) void this.paths.ask();
    void this.measures.ask();
  }

  /** Make the change that a finding proposes, and train again; of recorded runs, show the next one. */
  private async mend({ change }: Finding, here: boolean): Promise<void> {
    const { recorded } = this.payload;
    const { steps, size } = this.lossCard.numbers;
    if (change.kind === "schedule") await this.schedule.glide(change.schedule);
    if (recorded && !here && recorded.at + 1 < recorded.ratios.length) return this.load(recorded.at + 1);
    if (change.kind === "steps") {
      this.sampling = { ...this.sampling, steps: Math.min(this.mostSteps, 2 * this.sampling.steps) };
      this.budget = null;
      await this.walks.ask();
      return this.measures.ask();
    }
    if (change.kind === "scaling") {
      this.accept(await this.engine.ask("standardise", null));
      this.standard = true;
    } else if (change.kind === "decay") {
      this.recipe = { ...this.recipe, training: { ...this.recipe.training, decay: "linear" } };
    } else if (change.kind === "longer") {
      this.lossCard.set({ steps: 2 * steps });
    } else if (change.kind === "points") {
      this.lossCard.set({ size: Math.min(20_000, 4 * size) });
    }
    delete this.payload.recorded;
    delete this.payload.budget;
    await this.train(change.kind === "schedule" ? change.schedule : this.recipe.schedule);
  }

  /** Show a recorded run in the place of what is here. */
  private async load(at: number): Promise<void> {
    const { payload, ready, losses } = (await this.engine.ask("load", { at })) as Hello<Payload>;
    this.payload = payload;
    this.recipe = payload.recipe;
    this.sampling = { ...payload.recipe.sampling };
    [this.law, this.size, this.lossHere, this.standard] = [payload.law as LawSpec, payload.size, losses, false];
    this.points = null;
    this.trained = this.here = this.heart = this.preview = this.probe = this.path = null;
    this.budget = payload.budget ?? null;
    this.snapshot = this.drawnField = null;
    const { training, network, loss } = payload.recipe;
    this.lossCard.set({
      seed: 0, size: payload.size, steps: training.steps, width: network.width!, rate: training.learning_rate,
      batch: training.batch_size, ema: training.ema_decay,
    });
    this.lossCard.distance = loss.distance;
    this.own = this.chosen();
    this.accept(ready);
    this.schedule.used(payload.recipe.schedule, network.name === "article_mlp");
    this.switches.reset();
    this.which = "learned";
    this.mode = this.modes.value = "walk";
    this.field = this.kinds.value = "none";
    this.race.clear();
    this.again();
    await this.start(false, new URLSearchParams());
  }

  /** Take what the engine says of new data or new units. */
  private accept(ready: Ready): void {
    this.ready = ready;
    this.stage.display = ready.display;
    this.stage.setReal(ready.real, ready.labels);
    this.floor = this.errors = null;
  }

  /** Look at what a schedule does to real points. */
  private look(schedule: ScheduleSettings | null): void {
    this.preview = schedule;
    if (this.training) return;
    this.ruler.play(false);
    this.probe = this.path = null;
    if (schedule && this.ruler.position >= this.ruler.steps) this.ruler.position = this.ruler.steps / 2;
    this.change({ mode: this.modes.value = schedule ? "forward" : "walk", field: this.kinds.value = "none" });
  }

  // ---- other data

  /** Train on another law: what was drawn, or a built-in set. */
  private async take(law: LawSpec, title: string): Promise<void> {
    this.ruler.play(false);
    if (!(await this.draw(law))) return;
    this.payload = { ...this.payload, title, quality: null, columns: null, loss: { step: [], value: [] } };
    delete this.payload.recorded;
    this.pad.show(false);
    this.again();
    await this.train();
  }

  /** Draw a training set of a law, of as many points as are wanted. */
  private async draw(law: LawSpec): Promise<boolean> {
    const { recipe } = this;
    const { seed } = this.payload;
    const points = law.kind === "points" ? law.points : null;
    const size = points ? points.length / 2 : this.lossCard.numbers.size;
    const ready = await this.guard(() =>
      this.engine.ask("setup", { law, data: points, size, scaling: null, recipe, tensors: null, seed }),
    );
    if (!ready) return false;
    [this.law, this.size, this.points] = [points ? null : law, size, points];
    this.lossCard.sizeIsFree = points === null;
    this.accept(ready);
    return true;
  }

  // ---- training in the page

  private async train(schedule: ScheduleSettings = this.recipe.schedule): Promise<void> {
    const { seed, size, steps, width, rate, batch, ema } = this.lossCard.numbers;
    if (this.training) {
      this.anew = true;
      await this.engine.ask("stop", null);
      return;
    }
    if (this.law && size !== this.size && !(await this.draw(this.law))) return;
    const recipe: Recipe = structuredClone(this.recipe);
    recipe.schedule = schedule;
    recipe.network.width = width;
    if (typeof schedule["T"] === "number") recipe.network.n_steps = schedule["T"];
    recipe.loss.distance = this.lossCard.distance;
    recipe.training = {
      ...recipe.training, steps, learning_rate: rate, batch_size: batch, ema_decay: ema,
    };
    this.recipe = recipe;
    this.lossHere = { x: [], y: [] };
    this.adjusted = false;
    const ask = { recipe, seed };
    await this.follow(recipe.training.steps, () => this.engine.ask("train", ask));
  }

  /** What was set: at once where the training can take it. */
  private async adjust(): Promise<void> {
    const { training, loss } = this.recipe;
    const wanted = this.lossCard.adjustment;
    const now: Adjustment = {
      learning_rate: training.learning_rate, batch_size: training.batch_size, ema_decay: training.ema_decay,
      distance: loss.distance,
    };
    const other = JSON.stringify(wanted) !== JSON.stringify(now);
    if (other) {
      if (!(await this.guard(() => this.engine.ask("adjust", wanted)))) return;
      const { distance, ...rest } = wanted;
      this.recipe = { ...this.recipe, loss: { ...loss, distance }, training: { ...training, ...rest } };
      this.adjusted = true;
    }
    this.lossCard.adjusted(other);
  }

  /** Watch a training to its end; then look at what was learned. */
  private async follow(steps: number, end: () => Promise<Trained | null>): Promise<void> {
    this.trained = this.here = this.heart = this.budget = this.preview = null;
    this.race.clear();
    this.schedule.used(this.recipe.schedule);
    this.switches.reset();
    this.classes.reset();
    this.sampling = { ...this.sampling, start: false, fine: false, label: null, guidance: 1 };
    this.lossCard.begins();
    this.snapshot = null;
    this.probe = this.path = null;
    this.twoClouds = false;
    this.field = this.kinds.value = "none";
    this.mode = this.modes.value = "walk";
    this.which = "learned";
    this.drawnField = null;
    this.training = { step: 0, steps, loss: NaN, seconds: 0, samples: null, ratio: NaN };
    this.ruler.play(false);
    this.showTraining();
    const least = this.guard(async () => {
      if (this.ready.known && !this.floor) this.floor = await this.engine.ask("irreducible", { batches: this.payload.counts.batches / 2 });
    });
    this.trained = await this.guard(end);
    await least;
    this.training = null;
    if (this.anew) {
      this.anew = false;
      return this.train();
    }
    if (this.trained) this.history.take(this.trained);
    this.showTraining();
    this.lossCard.showPython();
    await this.walks.ask();
    this.ruler.moveTo(this.ruler.steps);
    await this.turn();
    await this.guard(async () => {
      if (this.ready.known) this.floor = await this.engine.ask("irreducible", { batches: this.payload.counts.batches });
      await this.loadErrors();
    });
    this.showLoss();
    await this.measures.ask();
  }

  private onProgress(progress: Progress): void {
    if (!this.training) return;
    const { samples, ratio } = progress.samples ? progress : this.training;
    this.training = { ...progress, samples, ratio };
    if (Number.isFinite(progress.loss)) {
      this.lossHere.x.push(progress.step);
      this.lossHere.y.push(progress.loss);
    }
    if (progress.samples) {
      this.stage.setStates(shown(this.ready.display, CLEAN, progress.samples), progress.samples.length / 2);
    }
    this.showTraining();
    this.showLoss();
    this.showQuality(false);
    this.refresh();
  }

  // ---- what is shown

  private scene(): Scene {
    const { drawing, strokes, width, classes } = this.pad;
    const { label } = this.sampling;
    const busy = this.training !== null || this.twoClouds || drawing;
    const field = busy ? null : this.drawnField;
    return {
      position: busy ? 0 : this.ruler.position,
      steps: busy ? 0 : this.ruler.steps,
      end: label !== null && label !== undefined ? CLASS_COLOURS[label]! : this.mode === "forward" || this.twoClouds || this.which !== "learned" ? "real" : "made",
      showReal: this.showReal && !drawing,
      showPoints: !drawing,
      ink: drawing ? { strokes, width, classes } : null,
      arrows: field?.arrows ?? null,
      contours: field?.contours ?? [],
      heat: field?.heat ?? null,
      path: busy ? null : this.path,
      probe: busy ? null : this.probe,
      corner: busy || !this.loaded ? "" : this.ruler.position >= this.ruler.steps ? this.speaker.say("data") : this.speaker.say("levelIs", digits(ratioOf(this.ruler.level))),
    };
  }

  private refresh(): void {
    this.stage.show(this.scene());
    this.point.card.classList.toggle("hidden", this.pad.drawing);
    this.levels.card.classList.toggle("hidden", this.pad.drawing || !this.errors);
    this.sides.element.classList.toggle("hidden", this.field === "none");
    const now = performance.now();
    if (now - this.told > 200 || !this.ruler.playing) {
      this.told = now;
      this.say();
    }
  }

  private say(): void {
    const { speaker } = this;
    const n = whole(this.loaded?.walk.n ?? this.n);
    const name = speaker.say(
      "stageName", this.payload.title, n, digits(ratioOf(this.ruler.level)), this.ruler.index + 1, Math.max(1, this.ruler.steps),
    );
    named(this.stage.element, `${name} ${speaker.say("stageHelp")}`);
    let words = "";
    if (this.pad.drawing) words = "";
    else if (this.trouble) words = speaker.say("failed", this.trouble);
    else if (this.twoClouds) words = speaker.say("floorSentence");
    else if (this.training) words = "";
    else if (this.field === "density") words = speaker.say(this.side === "difference" ? "sentenceDensities" : "sentenceDensity");
    else if (this.field !== "none" && this.side === "difference") words = speaker.say("sentenceDifference");
    else if (this.field === "score") words = speaker.say("sentenceScore");
    else if (this.field === "velocity") words = speaker.say("sentenceVelocity");
    else words = speaker.say(this.mode === "forward" ? "sentenceForward" : "sentenceWalk", n);
    if (this.sentence.textContent !== words) put(this.sentence, words);
    this.point.show(this.path, this.ready.scaling);
    this.sampler.show(this.loaded?.walk);
  }

  private showQuality(measuring: boolean): void {
    const { speaker, here, budget, training, switches, payload } = this;
    switches.show(budget, this.ready.known, here?.ratio ?? null);
    const finding = budget && findingOf(budget, this.recipe, this.ready.display.spread, payload.recorded?.next);
    this.mending.show(finding, budget !== null, payload.recorded ?? null);
    this.classes.card.classList.toggle("hidden", training !== null || this.ready.classes < 2);
    for (const card of [switches.card, this.mending.card]) card.classList.toggle("hidden", training !== null);
    const exchanged = switches.exact.size > 0;
    const { name, steps } = this.sampling;
    const other = name !== this.own.sampler || steps !== this.own.samplerSteps;
    const own = this.trained || exchanged || other ? null : payload.quality;
    const recorded = payload.recorded ? speaker.say("recorded", whole(this.recipe.training.steps)) : speaker.say("fromPython");
    this.quality.show({
      training, own, here, measuring, exact: budget?.exact ?? null, heart: this.heart, twoClouds: this.twoClouds,
      source: own ? recorded : exchanged ? speaker.say("fromSwitched") : "",
      hereIs: this.engine.name === "remote" ? "fromPythonNow" : "fromHere",
    });
  }

  private showLoss(): void {
    const { step, value } = this.payload.loss;
    this.lossCard.showLoss({ x: step, y: value }, this.lossHere, this.floor, this.ready.known);
  }

  /** What is chosen now. */
  private chosen(): Chosen {
    const { name, steps } = this.sampling;
    const { schedule } = this.recipe;
    return {
      law: this.law, schedule, numbers: this.lossCard.numbers, distance: this.lossCard.distance,
      decay: this.recipe.training.decay, standard: this.standard, sampler: name, samplerSteps: steps,
    };
  }

  /** Choose what a link says, and train where that is another training; whether it is. */
  private async apply(wanted: Chosen): Promise<boolean> {
    this.lossCard.set(wanted.numbers);
    this.lossCard.distance = wanted.distance;
    this.choose({ name: wanted.sampler as SamplerName, steps: wanted.samplerSteps, points: this.n });
    const { sampler, samplerSteps } = this.own;
    if (JSON.stringify({ ...wanted, sampler, samplerSteps }) === JSON.stringify(this.own)) return false;
    const { law, schedule, decay } = wanted;
    this.recipe = { ...this.recipe, schedule, training: { ...this.recipe.training, decay: decay as "none" | "linear" } };
    if (wanted.standard) {
      this.accept(await this.engine.ask("standardise", null));
      this.standard = true;
    }
    if (law && law !== this.law) await this.take(law, law.kind === "builtin" ? law.name : this.speaker.say("drawnName"));
    else await this.train();
    return true;
  }

  /** The call that gives this training in Python, where there is one. */
  private call(): string | null {
    const { call, recipe_name } = this.payload;
    return call && !this.adjusted && !this.points ? callOf(call, recipe_name, this.own, this.chosen()) : null;
  }

  /** The page as it is now, as text. */
  private async file(): Promise<string> {
    const { language } = this.speaker;
    const { html, tensors } = await this.engine.ask("save", { language });
    if (html) return html;
    const { payload, law, recipe, lossHere } = this;
    const now: Payload = { ...payload, language, size: this.size, recipe: { ...recipe, sampling: { ...this.sampling, start: false, fine: false, label: null } } };
    if (law) [now.law, now.data] = [law, null];
    if (this.points) [now.law, now.data] = [{ kind: "points" }, await pack(this.points)];
    if (this.trained) [now.quality, now.loss] = [null, { step: lossHere.x, value: lossHere.y }];
    now.scaling = this.ready.scaling;
    return pageOf(now, tensors!, this.stage.picture());
  }

  private showErrors(): void {
    if (this.errors) this.ruler.mark(this.levels.show(this.errors, this.loaded ? ratioOf(this.ruler.level) : null));
  }

  private showTraining(): void {
    this.lossCard.show(this.training, this.trained);
    this.history.show(this.trained, this.snapshot);
  }

  // ---- the ruler

  private goTo(ratio: number): void {
    this.ruler.play(false);
    if (this.field === "none") {
      this.field = this.kinds.value = "score";
      this.side = this.sides.value = "difference";
    }
    this.ruler.moveTo(this.ruler.positionAt(ratio));
  }

  private moved(other: boolean): void {
    const { playing } = this.ruler;
    if (other || !this.drawnField) void this.fields.ask();
    if (other && this.probe && !playing) void this.paths.ask();
    if (other && !playing) this.showErrors();
    this.refresh();
  }

  private setSnapshot(index: number): void {
    if (!this.trained) return;
    const last = this.trained.snapshots.length - 1;
    const kept = Math.max(0, Math.min(last, index));
    this.snapshot = kept === last ? null : kept;
    this.history.index = kept;
    this.showTraining();
    void this.walks.ask();
    void this.fields.ask();
    void this.paths.ask();
  }

  private startDrawing(): void {
    if (this.training) return;
    this.ruler.play(false);
    this.probe = this.path = null;
    this.pad.show(!this.pad.drawing);
  }

  private ask(place: [number, number]): void {
    if (this.pad.drawing || this.training) return;
    this.twoClouds = false;
    this.probe = place;
    this.ruler.play(false);
    void this.paths.ask();
    this.refresh();
  }

  private async showFloor(): Promise<void> {
    this.twoClouds = !this.twoClouds;
    this.showQuality(false);
    if (this.twoClouds) {
      this.ruler.play(false);
      const n = this.payload.counts.shown;
      const real = await this.engine.ask("real", { n, seed: this.seed + 1 });
      this.stage.setStates(shown(this.ready.display, CLEAN, real), n);
    } else if (this.loaded) {
      this.putStates();
    }
    this.refresh();
  }

  // ---- how the page is made

  private build(): void {
    const { speaker } = this;
    const real = h("input", { type: "checkbox", checked: true, onchange: () => {
      this.showReal = real.checked;
      this.refresh();
    } });
    const bar = h("div", { class: "bar" }, this.modes.element, this.kinds.element);
    const frame = h("div", { class: "frame" }, this.stage.element, this.sides.element);
    const below = h(
      "div", { class: "row" },
      h("label", {}, real, " ", speaker.text("real")),
      this.ruler.slowly,
    );

    this.lossCard.sizeIsFree = this.law !== null;
    const draw = h("button", { id: "draw", onclick: () => this.startDrawing() }, speaker.text("draw"));
    bar.append(draw);
    const remote = this.engine.name === "remote";
    const saving = savingCard(speaker, {
      file: () => this.file(),
      link: () => linkOf(this.own, this.chosen(), this.seen(), speaker.language),
      python: () => this.call(),
      keep: remote ? () => this.engine.ask("keep", null) : null,
      title: () => this.payload.title,
    });
    const pair = h(
      "div", { class: "pair" }, this.pad.card, this.point.card, this.levels.card, this.schedule.card, this.sampler.card, this.race.card, saving,
    );
    const main = h("main", { class: "main" }, bar, frame, this.ruler.element, this.history.element, below, this.sentence, pair);
    const aside = h("aside", { class: "rail" }, this.quality.card, this.classes.card, this.switches.card, this.mending.card, this.lossCard.card);

    const keys = h("details", {}, h("summary", {}, speaker.text("keys")), h("p", {}, speaker.text("keysText")));
    const notes = h("footer", {}, this.engineNote, keys);
    document.body.replaceChildren(this.top.element, h("div", { class: "layout" }, main, aside), notes, this.live);
    this.live.classList.add("hidden");
    speaker.whenever(() => this.again());
  }

  private drawBy(wanted: Drawing): void {
    this.choose(wanted);
    this.budget = null;
    this.n = wanted.points;
    void this.walks.ask();
    if (this.probe) void this.paths.ask();
    void this.measures.ask();
  }

  /** Take a sampler and its steps. */
  private choose({ name, steps, points }: Drawing): void {
    const settings = name === this.recipe.sampling.name ? this.recipe.sampling : { eta: 0 };
    this.sampling = { ...this.sampling, ...settings, name, steps };
    this.sampler.set({ name, steps, points });
  }

  private drawAnew(): void {
    this.seed++;
    void this.walks.ask().then(() => this.ruler.play(true));
  }

  /** Say everything again, in another language or other colours. */
  private again(): void {
    const { speaker, payload, ready } = this;
    this.top.say(payload.title, payload.recipe_name);
    const kernels = speaker.say(ready.fast ? "engineWasm" : "enginePlain");
    const own = this.engine.name === "remote";
    const notes = [own ? speaker.say("engineRemote", whole(ready.weights)) : speaker.say("engine", kernels, whole(ready.weights))];
    if (!ready.known) notes.push(speaker.say("unknownLaw"));
    if (payload.sampler_of_run) notes.push(speaker.say("unsupported", payload.sampler_of_run, this.sampling.name));
    if (!own && this.recipe.loss.target === "mixture") notes.push(speaker.say("noMixture"));
    if (!this.stage.webgl) notes.push(speaker.say("noGl"));
    put(this.engineNote, notes.join(" "));
    this.race.show();
    this.showQuality(false);
    this.showLoss();
    this.showTraining();
    this.showErrors();
    if (this.drawnField) this.drawnField = { ...this.drawnField };
    this.refresh();
  }

  private listen(): void {
    on(this.stage.element, "click", (event) => this.ask(this.stage.place(event)));
    on(this.stage.element, "keydown", (event) => {
      const moves: Record<string, [number, number]> = {
        ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
      };
      const move = moves[event.key];
      if (!move || event.shiftKey) return;
      event.preventDefault();
      event.stopPropagation();
      const [x, y] = this.probe ?? [0, 0];
      this.ask([x + NUDGE * move[0], y + NUDGE * move[1]]);
    });
    onKeys(this.ruler.range, (event) => this.key(event), this.closing.signal);
  }

  private key(event: KeyboardEvent): boolean {
    const kinds: Record<string, FieldKind> = { "1": "none", "2": "score", "3": "velocity", "4": "density" };
    const kind = kinds[event.key];
    if (kind) {
      this.kinds.value = kind;
      this.change({ field: kind });
    } else if (event.key.startsWith("Arrow") && event.shiftKey) {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) this.setSnapshot(this.history.index + by);
    } else if (event.key.toLowerCase() === "l") {
      this.top.turnLanguage();
    } else {
      return this.ruler.key(event.key);
    }
    return true;
  }
}
