// What else can be drawn? Text as a shape, the outline of a picture, points of a table.

import type { Point } from "../engine/laws.js";
import { h } from "./dom.js";

const SIZE = 128; // pixels of the canvas on which shapes are looked at
const MOST = 900; // dots of a shape
const HALF = 2.2; // its half width in the picture

/** The places of the pixels for which `inside` holds, at most `MOST` of them, evenly thinned; in units of the picture. */
function dots(inside: (x: number, y: number) => boolean, random = Math.random): Point[] {
  const found: Point[] = [];
  for (let y = 0; y < SIZE; y++) for (let x = 0; x < SIZE; x++) if (inside(x, y)) found.push([x, y]);
  if (!found.length) return [];
  const share = Math.min(1, MOST / found.length);
  const [xs, ys] = [found.map(([x]) => x), found.map(([, y]) => y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = (2 * HALF) / Math.max(right - left, bottom - top, 1);
  return found
    .filter(() => random() < share)
    .map(([x, y]) => [(x - (left + right) / 2) * scale, ((top + bottom) / 2 - y) * scale]);
}

function canvas(): CanvasRenderingContext2D {
  return h("canvas", { width: SIZE, height: SIZE }).getContext("2d", { willReadFrequently: true })!;
}

/** Dots all over the letters of a text, as large as they fit. */
export function dotsOfText(text: string): Point[] {
  const c = canvas();
  const font = (size: number): string => `bold ${size}px system-ui, "Noto Sans CJK SC", sans-serif`;
  c.font = font(100);
  c.font = font(Math.min(100, (100 * 0.94 * SIZE) / Math.max(1, c.measureText(text).width)));
  c.textAlign = "center";
  c.textBaseline = "middle";
  c.fillText(text, SIZE / 2, SIZE / 2);
  const { data } = c.getImageData(0, 0, SIZE, SIZE);
  return dots((x, y) => data[4 * (y * SIZE + x) + 3]! > 128);
}

/** Dots along the edges of a picture: where its brightness changes most. */
export async function dotsOfPicture(file: Blob): Promise<Point[]> {
  const image = await createImageBitmap(file);
  const c = canvas();
  c.fillStyle = "#fff";
  c.fillRect(0, 0, SIZE, SIZE);
  const scale = SIZE / Math.max(image.width, image.height);
  const [w, t] = [image.width * scale, image.height * scale];
  c.drawImage(image, (SIZE - w) / 2, (SIZE - t) / 2, w, t);
  const { data } = c.getImageData(0, 0, SIZE, SIZE);
  const light = (x: number, y: number): number => {
    const at = 4 * (Math.max(0, Math.min(SIZE - 1, y)) * SIZE + Math.max(0, Math.min(SIZE - 1, x)));
    return 0.3 * data[at]! + 0.59 * data[at + 1]! + 0.11 * data[at + 2]!;
  };
  const slope = (x: number, y: number): number => // Sobel's operator
    Math.hypot(
      ...[[1, 0], [0, 1]].map(([dx, dy]) =>
        [-1, 0, 1].reduce((sum, k) => {
          const [ox, oy] = [dx! ? 1 : k, dy! ? 1 : k];
          const [mx, my] = [dx! ? -1 : k, dy! ? -1 : k];
          return sum + (k ? 1 : 2) * (light(x + ox, y + oy) - light(x + mx, y + my));
        }, 0),
      ),
    );
  const slopes = Array.from({ length: SIZE * SIZE }, (_, i) => slope(i % SIZE, Math.floor(i / SIZE)));
  const most = slopes.reduce((a, b) => Math.max(a, b), 0);
  return most > 20 ? dots((x, y) => slopes[y * SIZE + x]! > 0.35 * most) : [];
}

/** The first two columns of numbers of a table as text, at most 10,000 rows; null where there are fewer than 20. */
export function pointsOfText(text: string): Float32Array | null {
  const rows = text.split(/\r?\n/).map((line) => line.split(/[,;\t ]+/).map((cell) => (cell.trim() === "" ? NaN : Number(cell))));
  const good = (column: number): boolean => rows.filter((row) => Number.isFinite(row[column] ?? NaN)).length >= 0.8 * (rows.length - 2);
  const width = Math.max(...rows.slice(0, 50).map((row) => row.length));
  const columns = Array.from({ length: width }, (_, i) => i).filter(good).slice(0, 2);
  const points = rows.map((row) => columns.map((i) => row[i] ?? NaN)).filter((row) => row.length === 2 && row.every(Number.isFinite));
  if (points.length < 20) return null;
  const every = Math.ceil(points.length / 10_000);
  return Float32Array.from(points.filter((_, i) => i % every === 0).flat());
}
