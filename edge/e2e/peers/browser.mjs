// A remote-controlled headless Chromium: it opens the page whose address is the
// first argument, with the profile folder that is the second, and speaks WebSocket
// from inside the page.
//
// Commands come as lines of JSON on stdin and what happened goes to stdout; the
// commands are described in ../peer_test.go. The end of stdin ends the program
// and the browser.

import readline from 'node:readline';
import { chromium } from 'playwright-core';

const [pageURL, profile] = process.argv.slice(2);

const tell = (what) => process.stdout.write(JSON.stringify(what) + '\n');

const context = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});

// What runs inside the page. Each tell waits for the one before it, so that
// frames arrive in the order in which the browser received them.
const openInside = (url) => {
  let told = Promise.resolve();
  const tell = (what) => {
    told = told.then(() => window.tellOutside(what));
  };
  const socket = new WebSocket(url);
  socket.onopen = () => tell({ opened: true });
  socket.onmessage = (message) => tell({ frame: JSON.parse(message.data) });
  socket.onclose = (event) => tell({ closed: event.code });
  socket.onerror = () => tell({ failed: 'the browser does not say why' });
  window.outsideSocket = socket;
};

const commands = {
  open: ({ url }) => page.evaluate(openInside, url),
  send: ({ frame }) => page.evaluate((text) => window.outsideSocket.send(text), JSON.stringify(frame)),
  close: () => page.evaluate(() => window.outsideSocket.close(1000)),
  see: async ({ text }) => {
    await page.getByText(text).first().waitFor({ state: 'visible' });
    tell({ seen: text });
  },
};

const page = context.pages()[0] ?? (await context.newPage());
page.on('pageerror', (error) => tell({ failed: `on the page: ${error}` }));
await page.exposeFunction('tellOutside', tell);
await page.goto(pageURL);
tell({ ready: true });

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await commands[command.do](command);
}
await context.close();
