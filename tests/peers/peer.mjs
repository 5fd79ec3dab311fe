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

function within(promise) {
  const late = new Promise((_, reject) => setTimeout(reject, 15_000, new Error("no answer in 15 s")));
  return Promise.race([promise, late]);
}
