// Tests of the page's Follower against a scripted edge. Time and sockets are fake.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { beforeEach, mock, test } from 'node:test';

const source = readFileSync(new URL('../../../edge/web/static/follower.js', import.meta.url), 'utf8');
const { Follower } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

let sockets;
globalThis.WebSocket = class {
  static OPEN = 1;
  readyState = 1;
  sent = [];
  constructor(url) { this.url = url; sockets.push(this); }
  send(text) { this.sent.push(JSON.parse(text)); }
  close(code) { this.closedWith = code; }
  // What an edge does.
  say(...messages) { for (const message of messages) this.onmessage({ data: JSON.stringify(message) }); }
  end(code, reason) { this.onclose({ code, reason }); }
  get since() { return this.sent[0].data.since; }
};

beforeEach(() => {
  sockets = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
});

// start returns a connected follower, what it handed over, and accept, which takes
// the newest connection and answers its subscribe.
function start(since) {
  const log = [];
  const f = new Follower('ws://edge/ws/dhruva', 'global', since, {
    state: (name, detail) => log.push(detail ? `${name} ${detail}` : name),
    subscribed: (a) => log.push(`at ${a.seq}${a.resumed ? ' resumed' : ''}${a.recovered === false ? ` lost ${a.reason}` : ''}`),
    event: (m) => log.push(`${m.seq ?? '-'} ${m.event}`),
    position: () => {},
    caughtUp: () => log.push('caught up'),
  });
  f.connect();
  const accept = (answer) => {
    const socket = sockets.at(-1);
    socket.onopen();
    socket.say(welcome, { type: 'response', event: 'subscribe', data: { status: 'subscribed', epoch: 'e1', ...answer } });
    return socket;
  };
  return { f, log, accept };
}

const welcome = { type: 'event', event: 'welcome', data: {} };
const event = (seq, prev) => ({ type: 'event', room: 'global', event: 'e', seq, prev, data: {} });
const caughtUp = (seq) => ({ type: 'ack', event: 'caught_up', room: 'global', data: { seq } });
const position = (seq) => ({ type: 'ack', event: 'position', data: { seq } });
const later = () => mock.timers.tick(15_000);

test('events come once and in order, live after caught_up', () => {
  const { f, log, accept } = start('start');
  const socket = accept({ seq: 3 });
  assert.equal(socket.since, 'start');
  socket.say(event(5, 3), event(5, 3), caughtUp(6), event(7, 5), event(6, 5));
  assert.deepEqual(log, ['connecting', 'reading', 'at 3', '5 e', 'live', 'caught up', '7 e']);
  assert.equal(f.seq, 7);
});

test('a gap is asked for again', () => {
  const { log, accept } = start('now');
  accept({ seq: 3 }).say(event(5, 3), event(8, 7));
  later();
  const socket = accept({ seq: 5, recovered: true });
  assert.deepEqual(socket.since, { seq: 5, epoch: 'e1' });
  socket.say(event(7, 5), event(8, 7));
  assert.deepEqual(log.slice(3), ['5 e', 'waiting', 'connecting', 'reading', 'at 5 resumed', '7 e', '8 e']);
});

test('positions without a room count once caught up', () => {
  const { f, accept } = start('now');
  const socket = accept({ seq: 3 });
  socket.say(position(9), { type: 'pong', data: { seq: 9 } });
  assert.equal(f.seq, 3);
  socket.say(caughtUp(4), position(9));
  assert.equal(f.seq, 9);
  socket.say({ type: 'pong', data: { seq: 12 } }, { type: 'pong' }, position(10));
  assert.equal(f.seq, 12);
  socket.end(1006);
  later();
  assert.deepEqual(accept({ seq: 12, recovered: true }).since, { seq: 12, epoch: 'e1' });
});

test('what cannot be recovered is said', () => {
  const { f, log, accept } = start('now');
  accept({ seq: 3 }).end(1011);
  later();
  const socket = accept({ seq: 0, epoch: 'e2', recovered: false, reason: 'epoch_changed' });
  socket.say(event(1, 0), { type: 'ack', event: 'reset', data: { epoch: 'e3', seq: 6, recovered: false, reason: 'position_expired' } }, event(7, 1));
  assert.deepEqual(log.slice(-5), ['at 0 resumed lost epoch_changed', '1 e', 'reading', 'at 6 resumed lost position_expired', '7 e']);
  assert.deepEqual([f.epoch, f.seq], ['e3', 7]);
});

test('transient events have no position', () => {
  const { f, log, accept } = start({ last: 50 });
  accept({ seq: undefined }).say({ type: 'event', event: 't', data: {} }, { type: 'ack', event: 'caught_up', data: {} });
  sockets.at(-1).end(1006);
  later();
  assert.deepEqual(accept({}).since, { last: 50 });
  assert.ok(log.includes('- t'));
  assert.equal(f.seq, undefined);
});

test('a passing error is tried again, a refusal is final', () => {
  const { f, log, accept } = start('now');
  sockets[0].onopen();
  sockets[0].say(welcome, { type: 'error', event: 'subscribe', error_code: 'UNAVAILABLE', error_message: 'm' });
  later();
  accept({ seq: 3 });
  sockets[1].say({ type: 'error', event: 'subscribe', error_code: 'FORBIDDEN', error_message: 'not for you' });
  later();
  assert.equal(sockets.length, 2);
  assert.equal(log.at(-1), 'refused not for you');
  assert.equal(f.active, false);
});

for (const [code, final] of [[1001, false], [1006, false], [1008, true], [1009, true], [1011, false], [1013, false],
  [4001, true], [4002, true], [4003, true], [4008, false], [4029, false]]) {
  test(`after a close with ${code} it ${final ? 'gives up' : 'comes back'}`, () => {
    const { f, accept } = start('now');
    accept({ seq: 3 }).end(code, '');
    later();
    assert.equal(sockets.length, final ? 1 : 2);
    assert.equal(f.active, !final);
  });
}

test('a draining edge says when to come back', () => {
  const { accept } = start('now');
  accept({ seq: 3 }).end(1001, 'retry_after_ms=5000');
  mock.timers.tick(4_999);
  assert.equal(sockets.length, 1);
  mock.timers.tick(2_502);
  assert.equal(sockets.length, 2);
});

test('attempts are spaced further and further', () => {
  const { accept } = start('now');
  accept({ seq: 3 });
  for (const least of [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]) {
    const before = sockets.length;
    sockets.at(-1).end(1006);
    mock.timers.tick(least - 1);
    assert.equal(sockets.length, before);
    mock.timers.tick(least / 2 + 2);
    assert.equal(sockets.length, before + 1);
  }
});

test('disconnect keeps the position and hears nothing more', () => {
  const { f, log, accept } = start('now');
  const old = accept({ seq: 3 });
  old.say(event(5, 3));
  f.disconnect();
  assert.equal(old.closedWith, 1000);
  old.say(event(6, 5));
  old.end(1000);
  later();
  assert.equal(sockets.length, 1);
  assert.equal(log.at(-1), 'disconnected');
  f.connect();
  assert.deepEqual(accept({ seq: 5, recovered: true }).since, { seq: 5, epoch: 'e1' });
});

test('a connection that died without a word is noticed', () => {
  const { accept } = start('now');
  const socket = accept({ seq: 3 });
  mock.timers.tick(20_000);
  socket.say({ type: 'pong' });
  assert.equal(socket.sent.at(-1).type, 'ping');
  mock.timers.tick(20_000);
  assert.equal(sockets.length, 1);
  mock.timers.tick(20_000);
  later();
  assert.equal(sockets.length, 2);
});
