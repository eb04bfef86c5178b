// How does a training go, and with which settings? Its loss above the least possible one, and the fields.

import type { Adjustment, Interval, Progress, Recipe, Trained } from "../engine/protocol.js";
import { Chart, type Line } from "./charts.js";
import type { Chosen } from "./choices.js";
import { card, numberField } from "./controls.js";
import { colour, digits, h, on, put, whole } from "./dom.js";
import type { Speaker, Word } from "./words.js";

type Numbers = Chosen["numbers"];
type Field = ReturnType<typeof numberField>;

/** Losses over steps. */
export interface Curve {
  x: number[];
  y: number[];
}

export interface Actions {
  train: () => void;
  stop: () => void;
  /** Something was set. */
  set: () => void;
  /** The call in Python, where there is one. */
  call: () => string | null;
}

export class TrainingCard {
  readonly card: HTMLElement;
  private readonly chart = new Chart(140);
  private readonly sentence = h("p", { class: "told" });
  private readonly legend = h("ul", { class: "legend" });
  private readonly button = h("button", { class: "main-button", id: "train" });
  private readonly bar = h("progress", { max: 1, value: 0, class: "hidden" });
  private readonly note = h("p", { id: "train-note" });
  private readonly python = h("pre", { id: "python", tabindex: 0 });
  private readonly distanceField = h("select", { id: "distance" }, ...["l2", "l1", "huber"].map((name) => h("option", {}, name)));
  private readonly adjustNote = h("p", { id: "adjust-note" });
  private readonly anew = h("button", { id: "anew", class: "hidden" });
  private readonly fields: Record<keyof Numbers, Field>;
  private running = false;
  /** Those of the training that runs, or of the last one. */
  private used: Numbers | null = null;

  constructor(
    private readonly speaker: Speaker,
    { training, network, loss }: Recipe,
    n: number,
    private readonly actions: Actions,
  ) {
    this.fields = {
      seed: numberField(speaker, "trainSeed", 0, { min: 0, max: 1e9, step: 1 }),
      size: numberField(speaker, "trainSize", n, { min: 20, max: 20_000, step: 1 }),
      steps: numberField(speaker, "trainSteps", training.steps, { min: 10, max: 500_000, step: 1 }),
      width: numberField(speaker, "trainWidth", network.width ?? 64, { min: 4, max: 256, step: 4 }),
      rate: numberField(speaker, "trainRate", training.learning_rate, { min: 1e-6, max: 1, step: "any" }),
      batch: numberField(speaker, "trainBatch", training.batch_size, { min: 8, max: 4096, step: 1 }),
      ema: numberField(speaker, "trainEma", training.ema_decay, { min: 0, max: 0.9999, step: "any" }),
    };
    for (const [name, { label }] of Object.entries(this.fields)) label.querySelector("input")!.id = `set-${name}`;
    this.distanceField.value = loss.distance;
    this.anew.append(speaker.text("startAnew"));
    on(this.anew, "click", () => actions.train());
    on(this.button, "click", () => (this.running ? actions.stop() : actions.train()));
    const { seed, size, steps, width, rate, batch, ema } = this.fields;
    const settings = h(
      "div", { class: "fields", onchange: () => this.changed() },
      steps.label, width.label, rate.label, batch.label, ema.label,
      h("label", {}, h("span", {}, speaker.text("trainDistance")), this.distanceField), seed.label, size.label,
    );
    this.card = card(
      speaker, "loss", this.chart.canvas, this.legend, this.sentence,
      h("div", { class: "row" }, this.button), this.bar, this.note,
      h("details", {}, h("summary", {}, speaker.text("trainSettings")), settings, this.adjustNote, this.anew),
      h("details", { ontoggle: () => this.showPython() }, h("summary", {}, speaker.text("python")), this.python),
    );
  }

  // ---- settings

  get numbers(): Numbers {
    return Object.fromEntries(Object.entries(this.fields).map(([name, field]) => [name, field.value()])) as unknown as Numbers;
  }

  set(numbers: Partial<Numbers>): void {
    for (const [name, value] of Object.entries(numbers)) this.fields[name as keyof Numbers].set(value);
  }

  get distance(): Adjustment["distance"] {
    return this.distanceField.value as Adjustment["distance"];
  }

  set distance(distance: string) {
    this.distanceField.value = distance;
  }

  /** Whether the number of training points can be chosen. */
  set sizeIsFree(free: boolean) {
    this.fields.size.label.classList.toggle("hidden", !free);
  }

  /** What can be changed while it trains. */
  get adjustment(): Adjustment {
    const { rate, batch, ema } = this.numbers;
    return { learning_rate: rate, batch_size: batch, ema_decay: ema, distance: this.distance };
  }

  private changed(): void {
    this.showPython();
    if (!this.running) return;
    const [now, before] = [this.numbers, this.used!];
    const others = (["width", "steps", "size", "seed"] as const).some((name) => now[name] !== before[name]);
    this.anew.classList.toggle("hidden", !others);
    this.actions.set();
  }

  /** Say whether what was set is used already. */
  adjusted(taken: boolean): void {
    const words: Word | null = this.anew.classList.contains("hidden") ? (taken ? "adjusted" : null) : "needsStart";
    put(this.adjustNote, words ? this.speaker.say(words) : "");
  }

  /** A training begins with what is set. */
  begins(): void {
    this.used = this.numbers;
    put(this.adjustNote, "");
    this.anew.classList.add("hidden");
  }

  // ---- what is shown

  showPython(): void {
    put(this.python, this.actions.call() ?? this.speaker.say("noCall"));
  }

  /** Show the curve of the run, that of the page, and the least possible loss. */
  showLoss(run: Curve, here: Curve, least: Interval | null, known: boolean): void {
    const { speaker } = this;
    const lines: Line[] = [];
    if (run.x.length) lines.push({ ...run, colour: colour("muted") });
    const steps = [...run.x, ...here.x];
    if (least && steps.length) {
      const ends = [Math.min(...steps), Math.max(...steps)];
      lines.push({ x: ends, y: [least.value, least.value], colour: colour("real"), dashed: true });
    }
    if (here.x.length) lines.push({ ...here, colour: colour("made") });
    const values = here.y.length ? here.y : run.y;
    const tail = values.slice(-Math.ceil(values.length / 10)); // a single one is noisy
    const last = tail.length ? tail.reduce((a, b) => a + b, 0) / tail.length : undefined;
    const words =
      least && last !== undefined ? speaker.say("lossSentence", digits(last), digits(least.value)) : known ? "" : speaker.say("lossUnknown");
    put(this.sentence, words);
    const legend = [
      ["run", "lossOf", run.x.length > 0],
      ["made", "lossHere", here.x.length > 0],
      ["real", "lossFloor", least !== null],
    ] as const;
    this.legend.replaceChildren(
      ...legend.filter(([, , there]) => there).map(([name, word]) => h("li", { class: name }, speaker.say(word))),
    );
    this.chart.show(lines, { logX: false }, `${speaker.say("loss")}. ${words}`);
  }

  /** Show how far a training is, or what came of it. */
  show(training: Progress | null, trained: Trained | null): void {
    const { speaker } = this;
    this.running = training !== null;
    const words = speaker.say(training ? "stop" : "train");
    if (this.button.textContent !== words) put(this.button, words);
    this.bar.classList.toggle("hidden", !training);
    if (training) this.bar.value = training.step / training.steps;
    let note = "";
    if (training) note = speaker.say("training", whole(training.step), whole(training.steps), training.seconds.toFixed(1));
    else if (trained?.stopped) note = speaker.say("trainedStopped", whole(trained.step));
    else if (trained) note = speaker.say("trained", whole(trained.step), trained.seconds.toFixed(1));
    put(this.note, note);
  }
}
