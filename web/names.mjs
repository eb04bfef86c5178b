// Which members of classes and interfaces mean nothing outside of a script? They get short names in it.
//
// Not those that a library has as well, that stand in a string, that a kernel exports, or that travel as JSON.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Files of which every word may travel between page and Python, and interfaces elsewhere whose members do. */
const TRAVELS = /^(live|engine\/protocol|engine\/remote|engine\/watched|view\/payload|view\/choices|view\/mend)\.ts$/;
const TRAVELLING = /Settings$|^(Level|Scaling|Ratio)$/;

const LIBRARY = "node_modules/@typescript";

/** The lines of all files below a folder whose names fit. */
function* lines(folder, fits) {
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    if (fits.test(name)) yield [name, readFileSync(join(folder, name), "utf8")];
  }
}

/** The members of the classes and interfaces of a file: [name, whether it travels]. */
function* members(text) {
  let travels = null;
  for (const line of text.split("\n")) {
    const opened = /^(?:export )?(?:abstract )?(class|interface) (\w+)/.exec(line);
    if (opened) travels = opened[1] === "interface" && TRAVELLING.test(opened[2]);
    if (line === "}") travels = null;
    if (travels === null) continue;
    const member = /^  (?:(?:private|protected|readonly|static|async|override|get|set) )*(\w+)[?!]?\s?[(:;=<]/.exec(line);
    const parameter = /^    (?:(?:private|protected|public|readonly) )+(\w+)[?!]?:/.exec(line);
    const found = (member ?? parameter)?.[1];
    if (found) yield [found, travels];
  }
}

/** Names that esbuild may shorten, in order. */
export function privateNames(here) {
  const taken = new Set(["constructor"]);
  for (const [, text] of lines(join(here, LIBRARY), /lib\.(dom|es\d+|webworker)[.\w]*\.d\.ts$/)) {
    for (const [, name] of text.matchAll(/^\s+(?:readonly |get |set )*(\w+)\??[(:<]/gm)) taken.add(name);
  }
  for (const [, name] of readFileSync(join(here, "kernels/kernels.ts"), "utf8").matchAll(/export function (\w+)/g)) {
    taken.add(name);
  }
  const found = new Set();
  for (const [file, text] of lines(join(here, "src"), /\.ts$/)) {
    const words = TRAVELS.test(file.replaceAll("\\", "/")) ? /(\w+)/g : /["'](\w+)["']/g;
    for (const [, name] of text.matchAll(words)) taken.add(name);
    for (const [name, travels] of members(text)) (travels ? taken : found).add(name);
  }
  return [...found].filter((name) => name.length > 2 && !taken.has(name)).sort();
}
