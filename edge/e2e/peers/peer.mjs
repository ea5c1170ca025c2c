// A remote-controlled WebSocket client on the npm package ws.
//
// Commands come as lines of JSON on stdin and what happened goes to stdout; the
// commands are described in ../peer_test.go. The end of stdin ends the program.

import readline from 'node:readline';
import { WebSocket } from 'ws';

const tell = (what) => process.stdout.write(JSON.stringify(what) + '\n');

let socket;

const commands = {
  open: ({ url }) => {
    socket = new WebSocket(url);
    socket.on('open', () => tell({ opened: true }));
    socket.on('message', (text) => tell({ frame: JSON.parse(text) }));
    socket.on('close', (code) => tell({ closed: code }));
    socket.on('error', (error) => tell({ failed: String(error) }));
  },
  send: ({ frame }) => socket.send(JSON.stringify(frame)),
  close: () => socket.close(1000),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  commands[command.do](command);
}
process.exit(0);
