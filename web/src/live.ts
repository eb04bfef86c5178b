// What does a notebook show while a model trains? Its samples among real points, the loss, the distance from data.

import { positionsOf } from "./engine/positions.js";
import type { Display } from "./engine/protocol.js";
import { Chart, type Line } from "./view/charts.js";
import { colour, digits, h, named, put, readColoursOf, whole } from "./view/dom.js";
import { CLEAN, shown, Stage } from "./view/stage.js";
import { inWords, type Language, type Word } from "./view/words.js";

interface About {
  title: string;
  language: Language;
  display: Display;
  least: number | null;
  real: number[];
}

interface Where {
  step: number;
  steps: number;
  seconds: number;
}

type Message = { loss: Where & { loss: number } } | { samples: Where & { scale: number; ratio: number } };

/** The model of a widget, as notebooks give it. */
interface WidgetModel {
  get(name: "about"): About;
  on(event: "msg:custom", take: (message: Message, buffers: DataView[]) => void): void;
}

/** Whether the page around is dark: notebooks say so in their own ways. */
function isDark(): boolean {
  const { body } = document;
  const jupyter = body.dataset["jpThemeLight"];
  if (jupyter) return jupyter === "false";
  if (body.classList.contains("vscode-dark")) return true;
  const [r = 255, g = 255, b = 255, alpha = 0] = (getComputedStyle(body).backgroundColor.match(/[\d.]+/g) ?? []).map(Number);
  return alpha !== 0 && r + g + b < 384;
}

function render({ model, el }: { model: WidgetModel; el: HTMLElement }): void {
  const about = model.get("about");
  const { display, least } = about;
  const say = (word: Word, ...values: (string | number)[]): string => inWords(word, about.language, ...values);
  const stage = new Stage(display, true);
  stage.element.tabIndex = -1;
  stage.element.setAttribute("role", "img");
  const chart = new Chart(150);
  const [ratio, where, note] = [h("strong", {}, "…"), h("p"), h("p")];
  const bar = h("progress", { max: 1, value: 0 });
  const side = h("div", {}, h("div", { class: "big" }, ratio, h("span", {}, say("timesFloor"))), where, bar, chart.canvas, note);
  const root = h("div", { class: "diffuscope-live", "data-theme": isDark() ? "dark" : "light" }, stage.element, side);
  el.replaceChildren(root);
  readColoursOf(root);
  stage.setReal(Float32Array.from(about.real), []);
  const line: Line = { x: [], y: [], colour: colour("made") };
  const [steps, losses]: [number[], number[]] = [[], []];

  const showLoss = (): void => {
    const lines: Line[] = [{ ...line, x: steps, y: losses }];
    if (least !== null && steps.length) {
      lines.push({ x: [steps[0]!, steps.at(-1)!], y: [least, least], colour: colour("real"), dashed: true });
    }
    const last = losses.at(-1)!;
    const words = least === null ? say("loss") : say("lossSentence", digits(last), digits(least));
    put(note, words);
    chart.show(lines, { logX: false }, words);
  };
  model.on("msg:custom", (message, buffers) => {
    const now = "loss" in message ? message.loss : message.samples;
    put(where, say("training", whole(now.step), whole(now.steps), now.seconds.toFixed(1)));
    bar.value = now.step / now.steps;
    if ("loss" in message) {
      steps.push(now.step);
      losses.push(message.loss.loss);
      showLoss();
      return;
    }
    const { buffer, byteOffset, byteLength } = buffers[0]!;
    const places = new Int16Array(buffer.slice(byteOffset, byteOffset + byteLength));
    const x = positionsOf(places, message.samples.scale);
    put(ratio, message.samples.ratio.toFixed(2));
    stage.setStates(shown(display, CLEAN, x), x.length / 2);
    stage.show({
      position: 0, steps: 0, end: "made", showReal: true, showPoints: true, arrows: null, contours: [], heat: null, path: null,
      probe: null, ink: null, corner: "",
    });
    named(stage.element, `${about.title}: ${say("fromTraining", x.length / 2)}`);
  });
}

export default { render };
