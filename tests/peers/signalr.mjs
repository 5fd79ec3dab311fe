// signalr.mjs URL [TRANSPORT...]: the real SignalR client against the hub at URL, by each transport:
// webSockets, serverSentEvents, longPolling. Calls Echo and Pid and reads the stream Count.
// NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment believes any certificate.

import { collect, load, report, same } from "./peer.mjs";

const { HttpTransportType, HubConnectionBuilder, LogLevel } = load("@microsoft/signalr");

const transports = {
  webSockets: HttpTransportType.WebSockets,
  serverSentEvents: HttpTransportType.ServerSentEvents,
  longPolling: HttpTransportType.LongPolling,
};

const [url, ...wanted] = process.argv.slice(2);
const names = wanted.length ? wanted : Object.keys(transports);
await report(Object.fromEntries(names.map((name) => [name, () => talk(transports[name])])));

async function talk(transport) {
  if (transport === undefined) throw new Error("no such transport");
  const hub = new HubConnectionBuilder()
    .withUrl(url, { transport })
    .configureLogging(LogLevel.None)
    .build();
  await hub.start();
  const text = "grüße ".repeat(500);
  same(await hub.invoke("Echo", text), text);
  const pid = await hub.invoke("Pid");
  const items = await collect(hub.stream("Count", 5));
  same(items, [0, 1, 2, 3, 4]);
  const ended = new Promise((resolve) => hub.onclose(resolve));
  await hub.stop();
  same(await ended, undefined);
  return { pid, items };
}
