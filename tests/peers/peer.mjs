// What the peers share: their packages, and how they report.

import { createRequire } from "node:module";

/** Loads a package that `make test` installed. */
export const load = createRequire(new URL("../../target/peers/node/", import.meta.url));

/**
 * Runs named checks in order. Prints one line of JSON: what each check gave, and the first that
 * failed with the reason. The exit code says whether all held.
 */
export async function report(checks) {
  const result = { ok: true };
  for (const [name, check] of Object.entries(checks)) {
    try {
      result[name] = (await within(check())) ?? true;
    } catch (error) {
      Object.assign(result, { ok: false, failed: name, reason: String(error?.message ?? error) });
      break;
    }
  }
  console.log(JSON.stringify(result));
  process.exit(result.ok ? 0 : 1);
}

/** Fails unless the two are the same, compared as JSON. */
export function same(got, wanted) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`got ${a.slice(0, 200)}, wanted ${b.slice(0, 200)}`);
}

/** All items of a stream of SignalR. */
export function collect(stream) {
  const items = [];
  return new Promise((resolve, reject) => {
    stream.subscribe({
      next: (item) => items.push(item),
      error: reject,
      complete: () => resolve(items),
    });
  });
}

/** Fails if the promise takes longer, in milliseconds. */
export function within(promise, time = 15_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(reject, time, new Error(`no answer in ${time} ms`));
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
