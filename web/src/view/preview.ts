// What is seen while Python is still being loaded? The same training, by the page's own engine.

import type { Progress } from "../engine/protocol.js";
import type { RemoteEngine } from "../engine/remote.js";
import { startLocal } from "../engine/worker.js";
import { App } from "./app.js";
import { on } from "./dom.js";
import { setupOf, type Payload } from "./payload.js";
import type { Language } from "./words.js";

/** Parts of the page that somebody uses, in the place of looking on. */
const USED = "button, input, select, textarea, summary, a, .stage";

/** A page that trains by itself, until Python has trained as well. */
export class Preview {
  private readonly closing = new AbortController();
  private used = false;
  private go: () => void = () => undefined;
  private readonly asked = new Promise<void>((resolve) => (this.go = resolve));

  private constructor(
    private readonly app: App,
    private readonly end: () => void,
  ) {
    const use = (event: Event): void => {
      if (event instanceof KeyboardEvent || (event.target as Element).closest?.(USED)) this.used = true;
    };
    const { signal } = this.closing;
    for (const event of ["pointerdown", "keydown"] as const) on(document, event, use, { capture: true, signal });
    app.announce("loadingPython");
  }

  static async open(payload: Payload, script: string, binary: Uint8Array, language: Language, chosen: URLSearchParams): Promise<Preview> {
    const engine = await startLocal(script, binary);
    const ready = await engine.ask("setup", await setupOf(payload));
    const options = { language, chosen, running: false, untrained: true, trained: null, losses: { x: [], y: [] } };
    return new Preview(new App(engine, payload, ready, options), () => engine.close());
  }

  get language(): Language {
    return this.app.language;
  }

  /**
   * Leave the cores to Python, and wait until it has trained as far; return what it said last. Where somebody
   * uses this page already it goes on, until they ask for Python.
   */
  async last(python: RemoteEngine): Promise<Progress | null> {
    let seen: Progress | null = null;
    if (!this.used) this.end();
    const here = this.app.step;
    await new Promise<void>((resolve) => {
      python.onProgress = (progress) => {
        if (!progress.samples || progress.step < here) return;
        seen = progress;
        resolve();
      };
      python.ask("attach", null).then(() => resolve(), () => undefined); // where it is lost, the page says so
    });
    if (this.used) {
      this.app.announce("pythonIsThere", () => this.go());
      await this.asked;
    }
    return seen;
  }

  close(): void {
    this.closing.abort();
    this.app.close();
    this.end();
  }
}
