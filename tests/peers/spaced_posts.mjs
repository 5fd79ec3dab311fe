// spaced_posts.mjs URL MILLISECONDS: POSTs to URL in many lanes, each with pauses of about that length, so that some meet
// the moment in which the server behind closes its idle connections. Prints how many were sent and how many failed.

import { Agent, request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

const [url, keepAlive] = [process.argv[2], Number(process.argv[3])];
const lanes = 60;
const rounds = 3;
const agent = new Agent({ keepAlive: true });

let sent = 0;
let failed = 0;
const lane = async (n) => {
  // From a tenth of a second before to a tenth after.
  const gap = keepAlive - 100 + (n * 200) / lanes;
  for (let round = 0; round < rounds; round += 1) {
    sent += 1;
    const outcome = await post().catch((error) => error.code ?? String(error));
    if (outcome !== "200 4") {
      failed += 1;
      console.error(outcome);
    }
    if (round + 1 < rounds) await pause(gap);
  }
};
await Promise.all(Array.from({ length: lanes }, (_, n) => lane(n)));
agent.destroy();
console.log(`${sent} ${failed}`);

/** The status of a POST and what the server says it got. */
function post() {
  return new Promise((resolve, reject) => {
    const sending = request(url, { method: "POST", agent }, (response) => {
      let text = "";
      response.on("data", (piece) => (text += piece));
      response.on("end", () => resolve(`${response.statusCode} ${text}`));
      response.on("error", reject);
    });
    sending.on("error", reject);
    sending.end("post");
  });
}
