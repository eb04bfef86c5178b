// How is data drawn? Strokes of Gaussian ink, and single Gaussians: a law, not points.

import { BUILT_IN, type LawSpec, type Point } from "../engine/laws.js";
import { h, on, put } from "./dom.js";
import { numberField, Segments } from "./controls.js";
import { dotsOfPicture, dotsOfText, pointsOfText } from "./shapes.js";
import type { Stage } from "./stage.js";
import type { Speaker } from "./words.js";

const APART = 0.07; // between the points of a stroke, in units of the picture
const MOST = 3000; // points of all strokes

/** What is drawn in the picture, and the controls beside it. */
export class Pad {
  readonly strokes: Point[][] = [];
  /** The class of each stroke. */
  readonly classes: number[] = [];
  private readonly pen: Segments<"0" | "1">;
  readonly card: HTMLElement;
  private readonly ink: HTMLInputElement;
  private readonly done: HTMLButtonElement;
  private on = false;
  private current: Point[] | null = null;

  constructor(
    speaker: Speaker,
    private readonly stage: Stage,
    private readonly onChange: () => void,
    onDone: (law: LawSpec, name?: string) => void,
    onBack: () => void,
  ) {
    this.ink = h("input", { type: "range", min: 0.03, max: 0.4, step: 0.01, value: 0.1, id: "ink", oninput: onChange });
    this.done = h("button", { class: "main-button", id: "draw-done", onclick: () => onDone(this.law()) });
    this.pen = new Segments<"0" | "1">(
      speaker, "drawColour", [{ value: "0", word: "classFirst" }, { value: "1", word: "classSecond" }], "0", () => undefined,
    );
    const undo = h("button", { onclick: () => {
      this.strokes.pop();
      this.classes.pop();
      this.changed();
    } }, speaker.text("drawUndo"));
    const back = h("button", { onclick: onBack }, speaker.text("drawBack"));
    const x = numberField(speaker, "atX", 0, { min: -3, max: 3, step: "any" });
    const y = numberField(speaker, "atY", 0, { min: -3, max: 3, step: "any" });
    const add = h("button", { onclick: () => {
      this.begin([x.value(), y.value()]);
      this.changed();
    } }, speaker.text("drawAdd"));
    const text = h("input", { type: "text", id: "shape-text", maxlength: 12 });
    speaker.whenever(() => text.setAttribute("aria-label", speaker.say("drawText")));
    const addText = h("button", { id: "shape-add", onclick: () => this.addDots(dotsOfText(text.value)) }, speaker.text("drawTextDo"));
    const said = h("p", { id: "shape-note", "aria-live": "polite" });
    const table = (points: Float32Array): void => onDone({ kind: "points", points }, speaker.say("pasted"));
    const read = async (file: Blob): Promise<void> => {
      const picture = file.type.startsWith("image/");
      const points = picture || file.size > 20e6 ? null : pointsOfText(await file.text());
      const found = picture ? await dotsOfPicture(file).catch(() => []) : [];
      if (points) table(points);
      else if (found.length) this.addDots(found);
      else put(said, speaker.say("drawNothing"));
    };
    const file = h("input", { type: "file", id: "shape-file", accept: "image/*,.csv,.tsv,.txt" });
    text.addEventListener("keydown", (event) => event.key === "Enter" && addText.click());
    on(file, "change", () => file.files?.[0] && void read(file.files[0]));
    for (const name of ["dragover", "drop"] as const) {
      on(document, name, (event) => {
        if (!this.on) return;
        event.preventDefault();
        const [dropped] = event.dataTransfer?.files ?? [];
        if (name === "drop" && dropped) void read(dropped);
      });
    }
    on(document, "paste", (event) => {
      const { clipboardData: data, target } = event as ClipboardEvent;
      if (!this.on || target instanceof HTMLInputElement || !data) return;
      void read(data.files[0] ?? new Blob([data.getData("text")]));
    });
    const first = h("option", { value: "" }, speaker.text("choose"));
    const sets = h("select", { id: "sets" }, first, ...Object.keys(BUILT_IN).map((name) => h("option", {}, name)));
    sets.addEventListener("change", () => {
      const name = sets.value;
      sets.value = "";
      if (name) onDone({ kind: "builtin", name, noise: BUILT_IN[name]! }, name);
    });
    this.done.append(speaker.text("drawDone"));
    this.card = h(
      "section", { class: "card hidden" },
      h("h2", {}, speaker.text("draw")),
      h("p", {}, speaker.text("drawHint")),
      h("p", {}, speaker.text("drawColour")), h("div", { class: "row" }, this.pen.element),
      h("label", { class: "ink" }, speaker.text("drawInk"), this.ink),
      h("div", { class: "row" }, this.done, undo, back),
      h("div", { class: "fields" }, x.label, y.label),
      h("div", { class: "row" }, add),
      h("label", { class: "ink" }, speaker.text("drawText")), h("div", { class: "row" }, text, addText),
      h("label", { class: "ink" }, speaker.text("drawFile"), file), said,
      h("label", { class: "ink" }, speaker.text("sets"), sets),
    );
    this.listen();
    this.changed();
  }

  get width(): number {
    return Number(this.ink.value);
  }

  get drawing(): boolean {
    return this.on;
  }

  show(on: boolean): void {
    this.on = on;
    this.card.classList.toggle("hidden", !on);
    this.stage.element.style.touchAction = on ? "none" : "";
    this.onChange();
  }

  /** The law of what was drawn, in units of the picture. */
  private law(): LawSpec {
    const strokes = this.strokes.map((stroke) => stroke.map((p) => [...p] as Point));
    const law: LawSpec = { kind: "strokes", strokes, noise: this.width };
    return new Set(this.classes).size > 1 ? { ...law, classes: [...this.classes] } : law;
  }

  /** Add dots of the colour of the pen. */
  private addDots(dots: Point[]): void {
    if (!this.strokes.length) this.ink.value = "0.04"; // so that one sees the shape
    for (const at of dots) if (this.strokes.flat().length < MOST) this.begin(at);
    this.changed();
  }

  /** Begin a stroke, of the colour of the pen. */
  private begin(at: Point): Point[] {
    const stroke = [at];
    this.strokes.push(stroke);
    this.classes.push(Number(this.pen.value));
    return stroke;
  }

  private changed(): void {
    this.done.disabled = this.strokes.length === 0;
    this.onChange();
  }

  private listen(): void {
    const { element } = this.stage;
    element.addEventListener("pointerdown", (event) => {
      if (!this.on || this.strokes.flat().length > MOST) return;
      element.setPointerCapture(event.pointerId);
      this.current = this.begin(this.stage.place(event));
      this.changed();
    });
    element.addEventListener("pointermove", (event) => {
      const last = this.current?.at(-1);
      if (!last) return;
      const next = this.stage.place(event);
      if (Math.hypot(next[0] - last[0], next[1] - last[1]) < APART || this.strokes.flat().length > MOST) return;
      this.current!.push(next);
      this.changed();
    });
    const end = (): void => {
      this.current = null;
    };
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
  }
}
