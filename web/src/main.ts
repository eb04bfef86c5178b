// Where does the page begin? In a worker as the engine, in a document as the page.

import kernels from "../build/kernels.wasm";
import { bytesOf } from "./engine/memory.js";
import { serve, startLocal } from "./engine/worker.js";
import { App } from "./view/app.js";
import { setupOf, type Payload } from "./view/payload.js";
import { join } from "./view/studio.js";

const binary = bytesOf(kernels);

async function open(): Promise<void> {
  const text = document.getElementById("run")!.textContent!;
  const payload = JSON.parse(text) as Payload | { live: true; language: string };
  const chosen = new URLSearchParams(location.hash.slice(1));
  const asked = chosen.get("lang") ?? payload.language;
  const language = asked === "zh" || (asked !== "en" && navigator.language.startsWith("zh")) ? "zh" : "en";
  if ("live" in payload) return join(language, chosen);
  const script = document.getElementById("viewer")!.textContent!;
  const engine = await startLocal(script, binary);
  const setup = await setupOf(payload);
  const ready = await engine.ask("setup", setup);
  const webgl = chosen.get("webgl") !== "0";
  new App(engine, payload, ready, { language, webgl, running: false, trained: null, losses: { x: [], y: [] } });
}

if (typeof document === "undefined") serve(binary);
else void open();
