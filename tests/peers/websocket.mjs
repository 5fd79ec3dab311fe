// websocket.mjs URL: a WebSocket client against an echo at URL: text, binary, a message in fragments,
// 1 MiB, ping, and which code comes back for a close with 4242. Further arguments are headers (`name: value`).
// NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment believes any certificate.

import { load, report, same } from "./peer.mjs";

const WebSocket = load("ws");

const [url, ...fields] = process.argv.slice(2);
const headers = Object.fromEntries(fields.map((field) => field.split(/:\s*/, 2)));
const socket = new WebSocket(url, { headers, perMessageDeflate: false });

await report({
  open: () => next("open").then(() => undefined),
  text: () => echoes("grüße"),
  empty: () => echoes(""),
  binary: () => echoes(Buffer.from([0, 1, 127, 128, 255])),
  fragmented,
  large: () => echoes(Buffer.alloc(1 << 20, "0123456789abcdef")),
  many,
  ping,
  close,
});

/** The arguments of the next event; an error or an early close rejects. */
function next(event) {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("unexpected-response", (_, response) => {
      reject(new Error(`status ${response.statusCode}`));
    });
    if (event !== "close") socket.once("close", (code) => reject(new Error(`closed with ${code}`)));
    socket.once(event, (...values) => resolve(values));
  });
}

async function echoes(message, send = () => socket.send(message)) {
  const back = next("message");
  send();
  const [data, isBinary] = await back;
  same(isBinary, typeof message !== "string");
  if (!Buffer.from(message).equals(data)) throw new Error(`${data.length} other bytes came back`);
  return data.length;
}

function fragmented() {
  return echoes("one two three", () => {
    socket.send("one ", { fin: false });
    socket.send("two ", { fin: false });
    socket.send("three", { fin: true });
  });
}

/** Messages keep their order when many are on their way at once. */
async function many() {
  const count = 200;
  const back = [];
  const all = new Promise((resolve) => {
    socket.on("message", function take(data) {
      back.push(String(data));
      if (back.length < count) return;
      socket.off("message", take);
      resolve();
    });
  });
  for (let n = 0; n < count; n++) socket.send(`message ${n}`);
  await all;
  same(back, Array.from({ length: count }, (_, n) => `message ${n}`));
  return count;
}

async function ping() {
  const pong = next("pong");
  socket.ping("are you there");
  const [data] = await pong;
  same(String(data), "are you there");
}

async function close() {
  const closed = next("close");
  socket.close(4242, "enough");
  const [code] = await closed;
  // 1006 means that the connection went without a close frame.
  if (code === 1006) throw new Error("closed without a close frame");
  return code;
}
