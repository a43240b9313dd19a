// What the suites of the Node.js clients share; the environment says the same as for those in Python (../python/suite.py).

import assert from "node:assert/strict";

export const BASE = process.env.CLIENT_BASE;
export const KEY = process.env.CLIENT_KEY;
export const THROUGH = process.env.CLIENT_THROUGH === "1";
export const CACHED = Number(process.env.CLIENT_CACHED ?? "4");

export const REPLY = "Hello from the provider.";
export const THOUGHTS = "The user asks, so I answer.";
export const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
export const PLACE = {
  type: "object",
  properties: { city: { type: "string" }, people: { type: "integer" } },
  required: ["city", "people"],
  additionalProperties: false,
};
// One pixel.
export const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg==";
export const SEEN_PNG = "I see image/png of 70 bytes";

let checks = 0;

export const model = (what) => (process.env.CLIENT_MODELS ?? "scripted-") + what;

export function check(condition, what) {
  assert.ok(condition, what);
  checks += 1;
}

export function same(found, wanted) {
  assert.deepEqual(found, wanted);
  checks += 1;
}

/** `act` throws exactly this class, with this status (undefined: whatever it is). */
export async function raises(kind, status, act) {
  let error;
  try {
    await act();
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, `no ${kind.name}`);
  check(error.constructor === kind, `${error.constructor.name} instead of ${kind.name}: ${error}`);
  if (status !== undefined) same(error.status, status);
  return error;
}

/** Fails, in whatever way. */
export async function fails(what, act) {
  try {
    await act();
  } catch (error) {
    checks += 1;
    return error;
  }
  throw new Error(`${what} ended cleanly`);
}

export async function all(stream) {
  const found = [];
  for await (const piece of stream) found.push(piece);
  return found;
}

/** Runs the parts that are asked for, or all; says how much was checked. */
export async function run(parts) {
  const wanted = (process.env.CLIENT_PARTS ?? "").split(" ").filter(Boolean);
  const without = (process.env.CLIENT_WITHOUT ?? "").split(" ").filter(Boolean);
  const named = wanted.length ? wanted : Object.keys(parts);
  const leftOut = (name) => without.some((word) => (word.startsWith("=") ? word.slice(1) === name : name.includes(word)));
  for (const name of named.filter((name) => !leftOut(name))) {
    const before = checks;
    await parts[name]();
    assert.ok(checks > before, `${name} checked nothing`);
  }
  console.log(`${checks} checks passed`);
}
