// signalr_many.mjs URL CONNECTIONS [AT_ONCE [ROUNDS]]: as many connections of the real SignalR client
// to the hub at URL, by each transport in turn: each negotiates, calls Echo and Pid in so many rounds,
// and reads the stream Count. Says how many are through after every tenth of them; the last line, JSON,
// says how many were whole, and what became of the others.

import { collect, load, same, within } from "./peer.mjs";

const { HttpTransportType, HubConnectionBuilder, LogLevel } = load("@microsoft/signalr");

const transports = ["WebSockets", "ServerSentEvents", "LongPolling"];

const [url, ...numbers] = process.argv.slice(2);
const [connections, atOnce = 20, rounds = 3] = numbers.map(Number);
const result = { connections, whole: 0, transports: {}, instances: {}, failures: {} };

let begun = 0;
let through = 0;
await Promise.all(Array.from({ length: atOnce }, work));
console.log(JSON.stringify(result));
process.exit(0);

async function work() {
  while (begun < connections) {
    const transport = transports[begun++ % transports.length];
    try {
      count(result.instances, await within(talk(HttpTransportType[transport]), 20_000));
      count(result.transports, transport);
      result.whole++;
    } catch (error) {
      count(result.failures, String(error?.message ?? error).slice(0, 200));
    }
    if (++through % Math.ceil(connections / 10) === 0) console.log(`through ${through}`);
  }
}

async function talk(transport) {
  const hub = new HubConnectionBuilder()
    .withUrl(url, { transport })
    .configureLogging(LogLevel.None)
    .build();
  try {
    await hub.start();
    const pid = await hub.invoke("Pid");
    for (let round = 0; round < rounds; round++) {
      const text = `grüße ${round} `.repeat(50);
      same(await hub.invoke("Echo", text), text);
      await new Promise((resolve) => setTimeout(resolve, 20 * Math.random()));
    }
    same(await collect(hub.stream("Count", 20)), Array.from({ length: 20 }, (_, n) => n));
    same(await hub.invoke("Pid"), pid);
    return pid;
  } finally {
    await hub.stop();
  }
}

function count(counts, name) {
  counts[name] = (counts[name] ?? 0) + 1;
}
