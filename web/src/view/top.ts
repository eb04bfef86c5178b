// What is at the top of each page? Its name, its language, and whether it is dark; and which keys are its own.

import { icon, mark } from "./controls.js";
import { h, named, on, put } from "./dom.js";
import type { Speaker, Word } from "./words.js";

/** The head of a page; `again` is called when its colours change. */
export class Top {
  readonly element: HTMLElement;
  /** What is going on behind the page. */
  private readonly notice = h("p", { class: "notice hidden", role: "status" });
  private readonly title = h("span");

  constructor(
    private readonly speaker: Speaker,
    private readonly again: () => void,
    signal?: AbortSignal,
  ) {
    const language = h("button", { id: "language", onclick: () => this.turnLanguage() }, speaker.text("language"));
    const theme = h("button", { class: "square", onclick: () => this.turnTheme() }, icon("theme"));
    speaker.whenever(() => named(theme, (theme.title = speaker.say("theme"))));
    const title = h("h1", {}, "Diffuscope ", this.title);
    this.element = h("header", { class: "top" }, mark(), title, this.notice, h("div", { class: "push" }, language, theme));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again, signal && { signal });
  }

  /** Say which data and which recipe are shown. */
  say(title: string, recipe: string): void {
    document.title = `${title} · Diffuscope`;
    put(this.title, `${title} · ${recipe}`);
  }

  /** Say what is going on behind the page, with a button where one can act. */
  announce(word: Word, act?: () => void): void {
    const { speaker } = this;
    this.notice.replaceChildren(act ? h("button", { id: "act", onclick: act }, speaker.text(word)) : speaker.text(word));
    this.notice.classList.remove("hidden");
  }

  turnLanguage(): void {
    this.speaker.language = this.speaker.language === "en" ? "zh" : "en";
  }

  private turnTheme(): void {
    const root = document.documentElement;
    const dark = root.dataset["theme"]
      ? root.dataset["theme"] === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset["theme"] = dark ? "light" : "dark";
    this.again();
  }
}

/** Call `take` with keys that are not typed into a field; it returns whether the key was taken. */
export function onKeys(range: HTMLElement, take: (event: KeyboardEvent) => boolean, signal?: AbortSignal): void {
  on(document, "keydown", (event) => {
    const target = event.target as HTMLInputElement;
    // Fields and sliders take their own keys; the ruler's are those of the page.
    const field = target.tagName === "INPUT" && target !== range && target.type !== "checkbox";
    const typing = field || ["SELECT", "TEXTAREA"].includes(target.tagName);
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const presses = ["BUTTON", "SUMMARY"].includes(target.tagName) || target.type === "checkbox";
    if (event.key === " " && presses) return;
    if (take(event)) event.preventDefault();
  }, signal && { signal });
}
