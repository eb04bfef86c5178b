// How do page and engine speak? By messages: numbered questions with answers, and progress in between.

import { LocalEngine } from "./local.js";
import type { Engine, Progress, Question, Questions } from "./protocol.js";

interface Asked {
  id: number;
  question: Question;
  ask: unknown;
}

type Told = { id: number; answer: unknown } | { id: number; error: string } | { progress: Progress };

/** Buffers that can be handed over instead of copied. */
function buffers(value: unknown, found: ArrayBuffer[] = []): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) {
    if (!found.includes(value.buffer as ArrayBuffer)) found.push(value.buffer as ArrayBuffer);
  } else if (value && typeof value === "object") {
    for (const part of Object.values(value)) buffers(part, found);
  }
  return found;
}

/** Be the worker: answer what the page asks. */
export function serve(binary: Uint8Array): void {
  const engine = new LocalEngine(binary);
  const tell = (told: Told): void => {
    (postMessage as (message: unknown, transfer: Transferable[]) => void)(told, buffers(told));
  };
  engine.onProgress = (progress) => tell({ progress });
  onmessage = async (event: MessageEvent<Asked>) => {
    const { id, question, ask } = event.data;
    try {
      tell({ id, answer: await engine.ask(question, ask as never) });
    } catch (error) {
      tell({ id, error: error instanceof Error ? error.message : String(error) });
    }
  };
}

/** An engine of the page itself, which can be ended. */
export interface LocalPageEngine extends Engine {
  close(): void;
}

/** An engine in a worker, made of the page's own script. */
class InWorker implements LocalPageEngine {
  readonly name = "local";
  onProgress: (progress: Progress) => void = () => undefined;
  private readonly open = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  private count = 0;

  constructor(private readonly worker: Worker) {
    worker.onmessage = (event: MessageEvent<Told>) => {
      const told = event.data;
      if ("progress" in told) return this.onProgress(told.progress);
      const waiting = this.open.get(told.id);
      this.open.delete(told.id);
      if ("error" in told) waiting?.reject(new Error(told.error));
      else waiting?.resolve(told.answer as never);
    };
  }

  ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]> {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.open.set(id, { resolve, reject });
      this.worker.postMessage({ id, question, ask } satisfies Asked);
    });
  }

  close(): void {
    this.worker.terminate();
  }
}

/** The engine on the page's own thread, where workers are not allowed. */
class InPage implements LocalPageEngine {
  readonly name = "local";
  private readonly engine: LocalEngine;

  constructor(binary: Uint8Array) {
    this.engine = new LocalEngine(binary);
  }

  set onProgress(listener: (progress: Progress) => void) {
    this.engine.onProgress = listener;
  }

  async ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]> {
    await new Promise((go) => setTimeout(go, 0));
    return this.engine.ask(question, ask);
  }

  close(): void {
    void this.engine.ask("stop", null);
  }
}

/** Start the local engine: in a worker if the browser lets a page from a file have one. */
export async function startLocal(script: string, binary: Uint8Array): Promise<LocalPageEngine> {
  try {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const worker = new Worker(url);
    await new Promise<void>((resolve, reject) => {
      worker.onerror = () => reject(new Error("no worker"));
      worker.onmessage = () => resolve(); // "stop" is answered as soon as the worker runs
      worker.postMessage({ id: 0, question: "stop", ask: null });
    });
    URL.revokeObjectURL(url);
    return new InWorker(worker);
  } catch {
    return new InPage(binary);
  }
}
