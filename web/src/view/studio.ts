// How does a page join a studio? By a token that is good once, then by a cookie; and again when it was lost.

import { RemoteEngine } from "../engine/remote.js";
import type { RunPayload } from "../engine/watched.js";
import { App } from "./app.js";
import { Gallery } from "./gallery.js";
import type { Payload } from "./payload.js";
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

export async function join(language: Language, chosen: URLSearchParams): Promise<void> {
  const state = document.getElementById("state")!;
  state.textContent = inWords("starting", language);
  await enter(chosen);
  const socket = new WebSocket(`ws://${location.host}/watch`);
  let [came, failed] = [false, false];
  const trouble = (what: string): void => {
    failed = true;
    state.textContent = inWords("failed", language, what);
  };
  const engine = new RemoteEngine(socket, trouble, () => {
    if (came) comeAgain();
    else if (!failed) state.textContent = inWords("noEntry", language);
  });
  const { payload, ready, running, trained, losses } = await engine.hello<Payload | RunPayload>();
  came = true;
  if ("look" in payload) {
    new Gallery(payload, null, engine, language);
    return;
  }
  new App(engine, payload, ready, { language, chosen, running, trained, losses });
}
