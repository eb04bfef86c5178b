// What can be taken along? The page as one file, a link with all settings, the call in Python, the run.

import type { Tensors } from "../engine/network.js";
import { card } from "./controls.js";
import { h, messageOf, put } from "./dom.js";
import { pack, type Payload } from "./payload.js";
import type { Speaker, Word } from "./words.js";

/** The page as it came, before anything was built in it. */
const asItCame = typeof document === "undefined" ? null : (document.documentElement.cloneNode(true) as HTMLElement);

/** The page with other contents: a file that opens by itself. */
export async function pageOf(payload: Payload, tensors: Tensors, picture: string): Promise<string> {
  const names = Object.entries(tensors).map(([name, { shape }]) => ({ name, shape }));
  const values = Float32Array.from(Object.values(tensors).flatMap((tensor) => Array.from(tensor.values)));
  const data = { ...payload, tensors: { ...(await pack(values)), names } };
  const page = asItCame!.cloneNode(true) as HTMLElement;
  page.querySelector("head script")!.remove(); // the loader puts it there again
  page.querySelector("#run")!.textContent = JSON.stringify(data).replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
  page.querySelector("img")?.setAttribute("src", picture);
  for (const title of page.querySelectorAll("h1, title")) put(title, payload.title);
  return `<!doctype html>\n${page.outerHTML}`;
}

/** Hand a file to the browser. */
function download(text: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/html" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Put text into the clipboard, also where a page may not write to it by itself. */
async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("This page may not use the clipboard.");
  }
}

export interface Takes {
  /** The page, as text. */
  file: () => Promise<string>;
  /** The address with all settings, where there is one. */
  link: (() => string) | null;
  /** The call, where there is one. */
  python: () => string | null;
  /** Make a run directory; its path. */
  keep: (() => Promise<string>) | null;
  title: () => string;
}

/** The card with what can be taken along. */
export function savingCard(speaker: Speaker, takes: Takes): HTMLElement {
  const note = h("p", { id: "saved", "aria-live": "polite" });
  const button = (word: Word, id: string, work: () => Promise<string>): HTMLButtonElement => {
    const made = h("button", { id, onclick: () => {
      made.disabled = true;
      void work().catch((error: unknown) => speaker.say("failed", messageOf(error)))
        .then((words) => {
          put(note, words);
          made.disabled = false;
        });
    } }, speaker.text(word));
    return made;
  };
  const copied = async (text: string | null): Promise<string> => {
    if (text === null) return speaker.say("noCall");
    await copy(text);
    return speaker.say("copied");
  };
  const buttons = [
    button("saveFile", "save-file", async () => {
      const name = `${takes.title().replace(/[^\w-]+/g, "_").slice(0, 60) || "run"}.html`;
      download(await takes.file(), name);
      return speaker.say("savedAs", name);
    }),
    button("copyPython", "copy-python", () => copied(takes.python())),
  ];
  const { link, keep } = takes;
  if (link) buttons.splice(1, 0, button("copyLink", "copy-link", () => copied(link())));
  if (keep) buttons.push(button("keepRun", "keep-run", async () => speaker.say("keptAt", await keep())));
  return card(speaker, "take", h("div", { class: "row" }, ...buttons), note);
}
