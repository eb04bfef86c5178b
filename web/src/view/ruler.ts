// Where between noise and data is one? A ruler over the noise levels of a walk, which also plays.

import { ratioOf, type Level } from "../engine/schedules.js";
import { icon } from "./controls.js";
import { digits, h, named, on } from "./dom.js";
import { CLEAN } from "./stage.js";
import type { Speaker, Word } from "./words.js";

const PLAY_SECONDS = 5;
const SLOW = 4;

/** A slider from noise to data, with its buttons; a position between two levels is between two numbers. */
export class Ruler {
  readonly element: HTMLElement;
  /** The box to tick for slow motion. */
  readonly slowly: HTMLElement;
  readonly range = h("input", { type: "range", min: 0, step: 0.01, id: "time" });
  position = 0;
  playing = false;
  private levels: Level[] = [];
  private readonly ticks = h("div", { class: "ticks", "aria-hidden": "true" });
  private readonly worst = h("div", { class: "worst hidden", "aria-hidden": "true" });
  private readonly playButton = h("button", { class: "square", id: "play" });

  constructor(
    private readonly speaker: Speaker,
    /** After a move: whether that is to another level. */
    private readonly onMove: (other: boolean) => void,
    /** When it stops to play. */
    private readonly onStop: () => void = () => undefined,
  ) {
    const button = (word: Word, shape: "before" | "next", by: number): HTMLElement => {
      const made = h("button", { class: "square", onclick: () => this.nudge(by) }, icon(shape));
      speaker.whenever(() => named(made, (made.title = speaker.say(word))));
      return made;
    };
    on(this.playButton, "click", () => this.play(!this.playing));
    on(this.range, "input", () => {
      this.play(false);
      this.moveTo(Number(this.range.value));
    });
    const slow = h("input", { type: "checkbox", onchange: () => (this.slow = slow.checked) });
    this.slowly = h("label", {}, slow, " ", speaker.text("slow"));
    const buttons = h("div", { class: "buttons" }, button("before", "before", -1), this.playButton, button("next", "next", 1));
    this.element = h("div", { class: "ruler" }, buttons, h("div", { class: "track" }, this.range, this.ticks));
    speaker.whenever(() => {
      named(this.range, speaker.say("time"));
      this.showTicks();
      this.showButton();
    });
  }

  private slow = false;

  get steps(): number {
    return Math.max(0, this.levels.length - 1);
  }

  get ends(): boolean {
    return this.position >= this.steps;
  }

  /** The level nearest to the ruler; of clean data the last one that has noise. */
  get index(): number {
    return Math.min(Math.round(this.position), Math.max(0, this.steps - 1));
  }

  get level(): Level {
    return this.levels[this.index] ?? CLEAN;
  }

  /** Go over the levels of another walk, from the same place. */
  take(levels: Level[]): void {
    const before = this.steps;
    this.levels = levels;
    this.range.max = String(this.steps);
    if (before && before !== this.steps) this.position *= this.steps / before;
    this.showTicks();
    this.moveTo(this.position);
  }

  /** The step whose noise is nearest to a ratio of noise to signal. */
  positionAt(ratio: number): number {
    let best = 0;
    this.levels.slice(0, -1).forEach((level, i) => {
      const far = (l: Level): number => Math.abs(Math.log(Math.min(1e6, ratioOf(l)) / ratio));
      if (far(level) < far(this.levels[best]!)) best = i;
    });
    return best;
  }

  /** Mark the level of a ratio as the worst one. */
  mark(ratio: number): void {
    this.worst.classList.remove("hidden");
    this.worst.style.left = this.percent(this.positionAt(ratio));
  }

  moveTo(position: number): void {
    const before = this.index;
    this.position = Math.max(0, Math.min(this.steps, position));
    this.range.value = String(this.position);
    const { speaker } = this;
    const words = `${speaker.say("levelIs", digits(ratioOf(this.level)))}, ${speaker.say("stepOf", this.index + 1, this.steps)}`;
    this.range.setAttribute("aria-valuetext", words);
    this.onMove(before !== this.index);
  }

  nudge(by: number): void {
    this.play(false);
    this.moveTo(Math.round(this.position) + by);
  }

  play(playing: boolean): void {
    if (playing && this.ends) this.moveTo(0);
    const started = playing && !this.playing;
    this.playing = playing;
    this.showButton();
    if (!playing) this.onStop();
    if (!started) return;
    let last = performance.now();
    const frame = (time: number): void => {
      if (!this.playing) return;
      const seconds = Math.min(0.1, Math.max(0, (time - last) / 1000));
      last = time;
      this.moveTo(this.position + (seconds * this.steps) / (PLAY_SECONDS * (this.slow ? SLOW : 1)));
      if (this.ends) this.play(false);
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  private showButton(): void {
    const word = this.speaker.say(this.playing ? "pause" : "play");
    this.playButton.replaceChildren(icon(this.playing ? "pause" : "play"));
    named(this.playButton, word);
    this.playButton.title = word;
  }

  private percent(position: number): string {
    return `${((100 * position) / Math.max(1, this.steps)).toFixed(2)}%`;
  }

  private showTicks(): void {
    const { speaker, levels } = this;
    this.ticks.classList.toggle("hidden", !levels.length);
    const marks = [1, 0.1].filter((ratio) => {
      const first = levels[0];
      return first && ratio < 0.7 * ratioOf(first) && ratio > 1.5 * ratioOf(levels.at(-2) ?? first);
    });
    const tick = (text: string, at: number, name = ""): HTMLElement => {
      const element = h("span", { class: name }, text);
      element.style.left = this.percent(at);
      return element;
    };
    this.ticks.replaceChildren(
      tick(speaker.say("noise"), 0),
      ...marks.map((ratio) => tick(`σ/α ${ratio}`, this.positionAt(ratio))),
      tick(speaker.say("data"), this.steps, "last"),
      this.worst,
    );
  }

  /** Take a key that is pressed anywhere on the page; whether it was one of the ruler's. */
  key(name: string): boolean {
    const actions: Record<string, () => void> = {
      " ": () => this.play(!this.playing),
      ArrowLeft: () => this.nudge(-1),
      ArrowRight: () => this.nudge(1),
      Home: () => this.nudge(-this.steps),
      End: () => this.nudge(this.steps),
    };
    actions[name]?.();
    return name in actions;
  }
}
