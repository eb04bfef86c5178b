// How does a page join a studio? By a token that is good once, then by a cookie; and again when it was lost.

import { RemoteEngine } from "../engine/remote.js";
import type { Progress } from "../engine/protocol.js";
import type { RunPayload } from "../engine/watched.js";
import { App } from "./app.js";
import { Gallery } from "./gallery.js";
import type { Payload } from "./payload.js";
import { Preview } from "./preview.js";
import { inWords, type Language } from "./words.js";

/** Exchange the token of the address for a cookie, and take it out of the address. */
async function enter(chosen: URLSearchParams): Promise<void> {
  const token = chosen.get("token");
  if (!token) return;
  chosen.delete("token");
  history.replaceState(null, "", `#${chosen.toString()}`);
  await fetch("/enter", { method: "POST", body: token, credentials: "same-origin" });
}

/** Try until the studio answers again, then begin anew: it tells all that there is. */
function comeAgain(): void {
  setTimeout(() => {
    fetch("/", { method: "GET" }).then(
      () => location.reload(),
      () => comeAgain(),
    );
  }, 1500);
}

/** What the page of a studio knows from the start. */
export interface Live {
  live: true;
  language: string;
  /** What the studio trains first, for as long as Python is not there. */
  first: Payload | null;
}

/** Whether a link chooses what is trained or looked at. */
const chooses = (chosen: URLSearchParams): boolean => [...chosen.keys()].some((key) => !["lang", "webgl"].includes(key));

export async function join(
  { first }: Live, language: Language, chosen: URLSearchParams, script: string, binary: Uint8Array,
): Promise<void> {
  const body = [...document.body.children];
  const state = document.getElementById("state")!;
  state.textContent = inWords("starting", language);
  await enter(chosen);
  const socket = new WebSocket(`ws://${location.host}/watch`);
  let [came, failed] = [false, false];
  const trouble = (what: string): void => {
    failed = true;
    leave();
    state.textContent = inWords("failed", language, what);
  };
  const engine = new RemoteEngine(socket, trouble, () => {
    if (came) return comeAgain();
    if (failed) return;
    leave();
    state.textContent = inWords("noEntry", language);
  });
  let preview: Preview | null = null;
  const leave = (): void => {
    preview?.close();
    if (preview) document.body.replaceChildren(...body);
    preview = null;
  };
  let seen: Progress | null = null;
  let hello = engine.hello<Payload | RunPayload>();
  if (first && !chooses(chosen)) {
    preview = await Preview.open(first, script, binary, language, chosen);
    await hello;
    came = true;
    seen = await preview.last(engine);
    ({ language } = preview);
    preview.close();
    hello = engine.hello();
  }
  const { payload, ready, running, trained, losses } = await hello;
  came = true;
  if ("look" in payload) {
    new Gallery(payload, null, engine, language);
    return;
  }
  new App(engine, payload, ready, { language, chosen, running, trained, losses });
  if (seen && running) engine.onProgress(seen);
}
