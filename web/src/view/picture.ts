// What is the big picture of a run that is watched? Something that shows a walk at each place of the ruler.

import type { WatchedWalk } from "../engine/watched.js";

export interface Picture {
  readonly element: HTMLElement;
  /** What can be chosen of it, beside the kind of walk. */
  readonly controls: HTMLElement;
  /** What is shown of the one sample that was clicked. */
  readonly one: HTMLElement;
  take(walk: WatchedWalk): Promise<void>;
  /** Draw the moment at a position, also between two of them. */
  draw(position: number): void;
  /** What is seen, as a sentence. */
  sentence(): string;
}

/** A canvas as wide as its place, of so many device pixels; what is drawn is in pixels of the page. */
export function fitted(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const scale = Math.min(2, window.devicePixelRatio || 1);
  const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
  const context = canvas.getContext("2d")!;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
