// How is the page made? Of elements with text, never of markup: a name from a run cannot become code.

type Value = string | number | boolean | ((event: Event) => void) | undefined;

/** Make an element; attributes that begin with "on" are listeners, true is an empty attribute. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Value> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  if (tag === "button") element.setAttribute("type", "button");
  element.append(...children);
  return element;
}

/** What went wrong, as text. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Show text in an element. */
export function put(element: Node, text: string): void {
  element.textContent = text;
}

/** Say what an element is to those who do not see it. */
export function named(element: Element, name: string): void {
  element.setAttribute("aria-label", name);
}

/** Listen to an element. */
export function on<K extends keyof HTMLElementEventMap>(
  target: EventTarget,
  event: K,
  work: (event: HTMLElementEventMap[K]) => void,
  options?: AddEventListenerOptions,
): void {
  target.addEventListener(event, work as EventListener, options);
}

/** A number in three digits, without an exponent where that can be. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return "∞";
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-4)) return value.toExponential(1);
  if (size >= 100) return value.toFixed(0);
  return String(Number(value.toPrecision(3)));
}

/** A whole number with its thousands apart. */
export const whole = (value: number): string => Math.round(value).toLocaleString("en");

let coloured: Element | null = null;

/** Read colours where an element is, in the place of the whole page. */
export const readColoursOf = (element: Element): Element => (coloured = element);

/** The value of a custom property of the style. */
export const colour = (name: string): string =>
  getComputedStyle(coloured ?? document.documentElement).getPropertyValue(`--${name}`).trim();

/** "#rrggbb" as three numbers from 0 to 1. */
export function rgb(hex: string): [number, number, number] {
  const value = parseInt(hex.slice(1), 16);
  return [(value >> 16) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}
