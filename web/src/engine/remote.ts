// How does Python answer? By messages over one socket: a head of JSON, and after it the bytes of its arrays.

import { positionsOf } from "./positions.js";
import type { WalkAsk, Walks, WatchedWalk } from "./watched.js";
import type { Engine, Progress, Question, Questions, Ready, Trained } from "./protocol.js";

/** What the studio says of itself when a page comes. */
export interface Hello<P> {
  payload: P;
  ready: Ready;
  running: boolean;
  trained: Trained | null;
  losses: { x: number[]; y: number[] };
}

interface ArrayPlace {
  $: number;
  type: "f4" | "i2" | "u2";
  count: number;
  scale: number;
}

/** Put the arrays of a message where its head refers to them; the last values are float64 where asked for. */
export function decode(buffer: ArrayBuffer): Record<string, unknown> {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))) as unknown;
  const start = 4 + length;
  const read = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(read);
    if (!value || typeof value !== "object") return value;
    if ("$" in value) {
      const { $: at, type, count, scale } = value as ArrayPlace;
      if (type === "u2") return new Uint16Array(buffer, start + at, count);
      if (type === "f4") return new Float32Array(buffer, start + at, count);
      return positionsOf(new Int16Array(buffer, start + at, count), scale);
    }
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, read(part)]));
  };
  return read(head) as Record<string, unknown>;
}

const plain = (_: string, value: unknown): unknown =>
  ArrayBuffer.isView(value) ? Array.from(value as Float32Array, (v) => Number(v.toPrecision(6))) : value;

/** The engine in Python, behind a socket of the studio. */
export class RemoteEngine implements Engine, Walks {
  readonly name = "remote";
  onProgress: (progress: Progress) => void = () => undefined;
  /** How far a piece of work is, from 0 to 1. */
  onWork: (part: number) => void = () => undefined;
  private readonly open = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  private count = 0;
  private readonly opened: Promise<void>;

  constructor(
    private readonly socket: WebSocket,
    onTrouble: (what: string) => void,
    onLost: () => void,
  ) {
    socket.binaryType = "arraybuffer";
    let open: () => void = () => undefined;
    this.opened = new Promise((resolve) => (open = resolve));
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      const told = typeof event.data === "string" ? (JSON.parse(event.data) as Record<string, unknown>) : decode(event.data);
      if ("opened" in told) open();
      else if ("failed" in told) onTrouble(String(told["failed"]));
      else if ("loss" in told) this.onProgress({ ...(told["loss"] as Progress), samples: null, ratio: NaN });
      else if ("work" in told) this.onWork((told["work"] as { part: number }).part);
      else if ("progress" in told) this.progress({ ...(told["progress"] as Progress), loss: NaN });
      else if ("id" in told) this.answered(told);
    };
    socket.onclose = () => {
      for (const waiting of this.open.values()) waiting.reject(new Error("The studio is gone."));
      this.open.clear();
      onLost();
    };
  }

  /** The picture is drawn before the next one is sent for. */
  private progress(progress: Progress): void {
    this.onProgress(progress);
    requestAnimationFrame(() => setTimeout(() => this.socket.readyState === 1 && this.socket.send('{"credit":1}'), 0));
  }

  private answered(told: Record<string, unknown>): void {
    const waiting = this.open.get(told["id"] as number);
    this.open.delete(told["id"] as number);
    if ("error" in told) waiting?.reject(new Error(String(told["error"])));
    else waiting?.resolve(told["answer"] as never);
  }

  private async send(question: string, ask: unknown): Promise<never> {
    await this.opened;
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.open.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ id, question, ask }, plain));
    });
  }

  ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]> {
    return this.send(question, ask);
  }

  /** What there is to see: sent again whenever a page comes. */
  hello<P>(): Promise<Hello<P>> {
    return this.send("hello", null);
  }

  // of a run that is only watched

  walk(ask: WalkAsk): Promise<WatchedWalk> {
    return this.send("walk", ask);
  }

  stop(): void {
    void this.send("stop", null);
  }

  async save(language: string): Promise<string> {
    const saved: { html: string } = await this.send("save", { language });
    return saved.html;
  }
}
