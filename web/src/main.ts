// Where does the page begin? In a worker as the engine, in a document as the page.

import kernels from "../build/kernels.wasm";
import { bytesOf } from "./engine/memory.js";
import { serve, startLocal } from "./engine/worker.js";
import type { RunPayload } from "./engine/watched.js";
import { App } from "./view/app.js";
import { Gallery, unpackWalk } from "./view/gallery.js";
import { chosenLanguage, setupOf, type Payload } from "./view/payload.js";
import { join, type Live } from "./view/studio.js";

const binary = bytesOf(kernels);

async function open(script: string): Promise<void> {
  const payload = JSON.parse(document.getElementById("run")!.textContent!) as Payload | RunPayload | Live;
  const chosen = new URLSearchParams(location.hash.slice(1));
  const language = chosenLanguage(chosen, payload.language);
  if ("live" in payload) return join(payload, language, chosen, script, binary);
  if ("look" in payload) {
    new Gallery(payload, payload.walk ? await unpackWalk(payload.walk) : null, null, language);
    return;
  }
  const engine = await startLocal(script, binary);
  const ready = await engine.ask("setup", await setupOf(payload));
  new App(engine, payload, ready, { language, chosen, running: false, trained: null, losses: { x: [], y: [] } });
}

if (typeof document === "undefined") serve(binary);
else void open(document.currentScript!.textContent!);
