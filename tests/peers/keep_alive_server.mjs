// keep_alive_server.mjs MILLISECONDS: a server of node's own that takes POSTs, and closes a connection that was idle
// for so long. It announces that as node does, and prints its address.

import { createServer } from "node:http";

const server = createServer((request, response) => {
  let length = 0;
  request.on("data", (piece) => (length += piece.length));
  request.on("end", () => response.end(`${length}`));
});
server.keepAliveTimeout = Number(process.argv[2]);
server.listen(0, "127.0.0.1", () => console.log(`listening http://127.0.0.1:${server.address().port}`));
