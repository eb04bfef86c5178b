// Which schedule? Its signal α and noise σ, with handles that can be dragged, and what is left at its end.

import { makeSchedule, ratioOf, type Level, type Schedule, type ScheduleSettings } from "../engine/schedules.js";
import { card, numberField, svg } from "./controls.js";
import { digits, h, named, on, put } from "./dom.js";
import type { Speaker } from "./words.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [316, 150, 8, 132];
const POINTS = 64;
const NUDGE = 0.02;

/** The two settings of a schedule that its ends hang on, with their bounds. */
type Knob = readonly [string, number, number];
const BETAS: readonly Knob[] = [["start", 1e-7, 0.3], ["end", 1e-5, 0.99]];
const TIMES: readonly Knob[] = [["t_min", 1e-5, 0.3], ["t_max", 0.5, 1]];
const KNOBS: Record<string, readonly Knob[]> = {
  linear: BETAS,
  quadratic: BETAS,
  sigmoid: BETAS,
  cosine: [["offset", 1e-3, 0.3], ["end", 1e-3, 0.999]],
  vp: [["beta_min", 1e-3, 5], ["beta_max", 6, 60]],
  edm: [["sigma_min", 1e-4, 0.5], ["sigma_max", 0.6, 200]],
  flow: TIMES,
  continuous_cosine: TIMES,
  piecewise: [],
};
const DISCRETE = ["linear", "quadratic", "sigmoid", "cosine"];

/** A schedule's own settings, where one has just chosen its name. */
function fresh(name: string, T: number): ScheduleSettings {
  const part = 1000 / T; // so that as much noise comes in T steps as in 1,000
  const settings: Record<string, object> = {
    linear: { T, start: 1e-4 * part, end: 0.02 * part },
    quadratic: { T, start: 1e-4 * part, end: 0.03 * part },
    sigmoid: { T, start: 1e-5 * part, end: 0.02 * part },
    cosine: { T, start: 0, end: 0.999, offset: 0.008 },
    vp: { beta_min: 0.1, beta_max: 20, t_min: 1e-3, t_max: 1 },
    edm: { sigma_min: 0.002, sigma_max: 10 },
    flow: { t_min: 1e-3, t_max: 1 },
    continuous_cosine: { t_min: 1e-3, t_max: 1 },
    piecewise: { log_snr: [10, 4, 0, -4, -10] },
  };
  return { name, ...settings[name] };
}

/** Signal and noise of unit length together: what is left of each in the picture. */
const shares = ({ alpha, sigma }: Level): [number, number] => {
  const length = Math.hypot(alpha, sigma);
  return [alpha / length, sigma / length];
};

/** The card of the schedule. */
export class ScheduleCard {
  readonly card: HTMLElement;
  private readonly select = h("select", { id: "schedule" });
  private readonly signal = svg("path", { class: "signal" });
  private readonly noise = svg("path", { class: "noise" });
  private readonly handles = svg("g", {});
  private readonly picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "schedule" });
  private readonly note = h("p", { class: "told", id: "schedule-note" });
  private readonly fields = h("div", { class: "fields" });
  private readonly use: HTMLButtonElement;
  private readonly back: HTMLButtonElement;
  private held: number | null = null;
  /** What is shown, and what was trained with. */
  private chosen: ScheduleSettings;

  constructor(
    private readonly speaker: Speaker,
    private own: ScheduleSettings,
    byStep: boolean,
    private readonly spread: () => number,
    private readonly onChange: (schedule: ScheduleSettings | null) => void,
    onUse: (schedule: ScheduleSettings) => void,
  ) {
    this.chosen = own;
    this.offer(byStep);
    on(this.select, "change", () => this.set(fresh(this.select.value, Number(this.own["T"] ?? 1000))));
    this.use = h("button", { id: "schedule-use", class: "main-button", onclick: () => onUse(this.chosen) }, speaker.text("scheduleUse"));
    this.back = h("button", { onclick: () => this.set(this.own) }, speaker.text("scheduleBack"));
    const line = (y: number): SVGElement => svg("path", { class: "axis", d: `M${LEFT} ${y}H${WIDTH - LEFT}` });
    this.picture.append(line(this.y(0)), line(this.y(1)), this.noise, this.signal, this.handles);
    this.listen();
    this.card = card(
      speaker, "schedule", h("p", {}, speaker.text("scheduleHint")),
      h("label", { class: "ink" }, speaker.text("schedule"), this.select),
      this.picture, h("ul", { class: "legend" }, h("li", { class: "signal" }, speaker.text("signalIs")), h("li", { class: "noise" }, speaker.text("noiseIs"))),
      this.note, this.fields, h("div", { class: "row" }, this.use, this.back),
    );
    speaker.whenever(() => this.show());
    this.makeFields();
  }

  private offer(byStep: boolean): void {
    const names = byStep ? DISCRETE : Object.keys(KNOBS);
    this.select.replaceChildren(...names.map((name) => h("option", {}, name)));
  }

  /** A training with this schedule has begun, or one is shown; whose network may know the steps only. */
  used(schedule: ScheduleSettings, byStep?: boolean): void {
    if (byStep !== undefined) this.offer(byStep);
    this.own = this.chosen = schedule;
    this.makeFields();
    this.show();
  }

  /** Move to another schedule in sight: a handle goes there by itself. */
  async glide(to: ScheduleSettings): Promise<void> {
    const key = Object.keys(to).find((name) => to[name] !== this.chosen[name] && typeof to[name] === "number");
    if (key && to.name === this.chosen.name) {
      const [from, end] = [Number(this.chosen[key]), Number(to[key])];
      for (let i = 1; i < 30; i++) {
        this.set({ ...this.chosen, [key]: from * (end / from) ** (i / 30) });
        await new Promise((go) => setTimeout(go, 40));
      }
    }
    this.set(to);
  }

  private get made(): Schedule {
    return makeSchedule(this.chosen);
  }

  private x(part: number): number {
    return LEFT + part * (WIDTH - 2 * LEFT);
  }

  private y(share: number): number {
    return BOTTOM - share * (BOTTOM - 10);
  }

  /** The level at a part of the time axis, which is logarithmic where noise grows without end. */
  private at(schedule: Schedule, part: number): Level {
    const { tMin, tMax } = schedule;
    if (this.chosen.name === "edm") return schedule.at(tMin * (tMax / tMin) ** part);
    return schedule.at(tMin + part * (tMax - tMin));
  }

  /** Where handles are: [part of the time axis, whether on the signal's curve]. */
  private places(): [number, boolean][] {
    const { log_snr: knots } = this.chosen;
    if (knots) return knots.map((_, i) => [i / (knots.length - 1), true]);
    return [[0, false], [1, true]];
  }

  private share(schedule: Schedule, [part, ofSignal]: [number, boolean]): number {
    return shares(this.at(schedule, part))[ofSignal ? 0 : 1];
  }

  /** Take the handle i to a height, as far as the schedule goes. */
  private pull(i: number, share: number): void {
    const { chosen } = this;
    const wanted = Math.min(0.9999, Math.max(0.004, share));
    if (chosen.log_snr) {
      const knots = [...chosen.log_snr];
      const value = Math.log(wanted ** 2 / (1 - wanted ** 2));
      knots[i] = Math.min((knots[i - 1] ?? 20) - 0.1, Math.max((knots[i + 1] ?? -20) + 0.1, value));
      this.set({ ...chosen, log_snr: knots.map((v) => Number(v.toFixed(2))) });
      return;
    }
    const [key, low, high] = KNOBS[chosen.name]![i]!;
    const place = this.places()[i]!;
    const at = (log: number): ScheduleSettings => ({ ...chosen, [key]: Math.exp(log) });
    let [a, b] = [Math.log(low), Math.log(high)];
    const rises = this.share(makeSchedule(at(b)), place) > this.share(makeSchedule(at(a)), place);
    for (let turn = 0; turn < 30; turn++) {
      const middle = (a + b) / 2;
      if (this.share(makeSchedule(at(middle)), place) < wanted === rises) a = middle;
      else b = middle;
    }
    this.set({ ...chosen, [key]: Number(Math.exp(a).toPrecision(3)) });
  }

  private set(settings: ScheduleSettings): void {
    const anew = settings.name !== this.chosen.name;
    this.chosen = settings;
    if (anew) this.makeFields();
    this.show();
    this.onChange(settings === this.own ? null : settings);
  }

  /** The same by numbers. */
  private makeFields(): void {
    const { chosen, speaker } = this;
    this.fields.replaceChildren();
    const field = (name: string, value: number, min: number, max: number, take: (value: number) => ScheduleSettings): void => {
      const made = numberField(speaker, document.createTextNode(name), value, { min, max, step: "any" });
      on(made.label, "change", () => this.set(take(made.value())));
      this.fields.append(made.label);
    };
    for (const [key, min, max] of KNOBS[chosen.name] ?? []) {
      field(key, Number(chosen[key]), min, max, (value) => ({ ...this.chosen, [key]: value }));
    }
    chosen.log_snr?.forEach((value, i) => {
      field(`log SNR ${i + 1}`, value, -20, 20, (next) => ({
        ...this.chosen, log_snr: this.chosen.log_snr!.map((v, j) => (i === j ? next : v)),
      }));
    });
  }

  private show(): void {
    const { speaker, chosen } = this;
    this.select.value = chosen.name;
    const schedule = this.made;
    const levels = Array.from({ length: POINTS + 1 }, (_, i) => this.at(schedule, i / POINTS));
    const path = (which: 0 | 1): string =>
      levels.map((level, i) => `${i ? "L" : "M"}${this.x(i / POINTS).toFixed(1)} ${this.y(shares(level)[which]).toFixed(1)}`).join("");
    this.signal.setAttribute("d", path(0));
    this.noise.setAttribute("d", path(1));
    const places = this.places();
    while (this.handles.childElementCount < places.length) {
      this.handles.append(svg("circle", { r: 8, tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": 1 }));
    }
    while (this.handles.childElementCount > places.length) this.handles.lastElementChild!.remove();
    places.forEach((place, i) => {
      const [handle, share] = [this.handles.children[i]!, this.share(schedule, place)];
      handle.setAttribute("class", place[1] ? "signal" : "noise");
      handle.setAttribute("cx", String(this.x(place[0])));
      handle.setAttribute("cy", String(this.y(share)));
      handle.setAttribute("aria-valuenow", share.toFixed(3));
      named(handle, `${speaker.say(place[1] ? "signalIs" : "noiseIs")}, t = ${digits(place[0])}`);
    });
    const ratio = ratioOf(schedule.at(schedule.tMax));
    const snr = (scale: number): string => (ratio === Infinity ? "0" : digits((scale / ratio) ** 2));
    const spread = this.spread();
    const words = speaker.say("terminalSnr", snr(1));
    const more = Math.abs(Math.log(spread)) > 0.05 ? ` ${speaker.say("terminalOwn", digits(spread), snr(spread))}` : "";
    put(this.note, words + more);
    this.note.classList.toggle("wrong", ratio < 3 * spread);
    this.use.disabled = this.back.disabled = chosen === this.own;
    const inputs = this.fields.querySelectorAll("input");
    const values = chosen.log_snr ?? (KNOBS[chosen.name] ?? []).map(([key]) => Number(chosen[key]));
    inputs.forEach((input, i) => {
      if (input !== document.activeElement) input.value = String(values[i]);
    });
  }

  private listen(): void {
    const { picture } = this;
    const place = (event: PointerEvent): [number, number] => {
      const box = picture.getBoundingClientRect();
      const [x, y] = [((event.clientX - box.left) / box.width) * WIDTH, ((event.clientY - box.top) / box.height) * HEIGHT];
      return [(x - LEFT) / (WIDTH - 2 * LEFT), (BOTTOM - y) / (BOTTOM - 10)];
    };
    on(picture, "pointerdown", (event) => {
      const [part] = place(event);
      const far = this.places().map(([x]) => Math.abs(x - part));
      this.held = far.indexOf(Math.min(...far));
      picture.setPointerCapture(event.pointerId);
    });
    on(picture, "pointermove", (event) => {
      if (this.held !== null) this.pull(this.held, place(event)[1]);
    });
    for (const end of ["pointerup", "pointercancel"] as const) on(picture, end, () => (this.held = null));
    on(this.handles, "keydown", (event) => {
      const way = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
      const i = Array.from(this.handles.children).indexOf(event.target as Element);
      if (!way || i < 0) return;
      event.preventDefault();
      event.stopPropagation();
      this.pull(i, this.share(this.made, this.places()[i]!) + way * NUDGE);
    });
  }
}
