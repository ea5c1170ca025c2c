// A Follower hands over every event of a channel once and in order, whatever happens
// to the connection. It keeps its position, (epoch, seq): everything up to it has
// been handed over. After a lost connection it asks for what follows the position.
//
// `on` has five functions:
//   state(name, detail)   connecting, reading, live, waiting, disconnected or refused
//   subscribed(answer)    what follows answer.seq comes next; answer.resumed says
//                         that a position was asked for, answer.recovered that
//                         nothing behind it is missing, else answer.reason says why
//   event(message)        one event
//   position(seq)         the position moved on
//   caughtUp()            everything that there is has come; from now on it is live

const again = { first: 200, most: 10_000 }; // milliseconds between attempts
const pingEvery = 20_000;
const final = new Set([1002, 1007, 1008, 1009, 4001, 4002, 4003]); // close codes
const passing = new Set(['UNAVAILABLE', 'TIMEOUT', 'RATE_LIMIT_EXCEEDED', 'INTERNAL_ERROR']);

export class Follower {
  constructor(url, channel, since, on) {
    Object.assign(this, { url, channel, since, on, epoch: undefined, seq: undefined, attempts: 0 });
  }

  connect() {
    this.drop();
    this.caughtUp = false;
    this.on.state('connecting');
    const socket = new WebSocket(this.url);
    const current = (handle) => (event) => { if (socket === this.socket) handle(event); };
    socket.onopen = current(() => this.subscribe());
    socket.onmessage = current((event) => { this.heard = true; this.receive(JSON.parse(event.data)); });
    socket.onclose = current((event) => this.closed(event));
    this.socket = socket;
    this.heard = true;
    this.pings = setInterval(() => this.ping(), pingEvery);
  }

  // active is true from connect until disconnect, or until the edge refused.
  get active() {
    return this.socket !== undefined || this.timer !== undefined;
  }

  // disconnect keeps the position: connect goes on behind it.
  disconnect() {
    this.drop();
    this.on.state('disconnected');
  }

  drop() {
    clearTimeout(this.timer);
    clearInterval(this.pings);
    this.socket?.close(1000);
    this.socket = this.timer = undefined;
  }

  subscribe() {
    const since = this.seq === undefined ? this.since : { seq: this.seq, epoch: this.epoch };
    this.send({ type: 'request', event: 'subscribe', id: 'subscribe', data: { channel: this.channel, since } });
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // ping notices a connection that died without a word.
  ping() {
    if (!this.heard) return this.closed({ code: 1006 });
    this.heard = false;
    this.send({ type: 'ping' });
  }

  receive(message) {
    const { type, event, data } = message;
    switch (type === 'event' ? type : `${type} ${event ?? ''}`.trim()) {
      case 'response subscribe':
      case 'ack reset': {
        const resumed = this.seq !== undefined;
        Object.assign(this, { epoch: data.epoch, seq: data.seq, caughtUp: false, attempts: 0 });
        this.on.state('reading');
        this.on.subscribed({ ...data, resumed });
        return this.on.position(this.seq);
      }
      case 'ack caught_up':
        this.caughtUp = true;
        this.advance(data.seq);
        this.on.state('live');
        return this.on.caughtUp();
      case 'ack position':
      case 'pong': // Both hold for what has caught up.
        return this.caughtUp ? this.advance(data?.seq) : undefined;
      case 'error subscribe':
        return this.refused(message);
      case 'event':
        return event === 'welcome' ? undefined : this.event(message);
    }
  }

  event(message) {
    if (message.seq !== undefined) {
      if (message.seq <= this.seq) return; // It came already.
      if (message.prev > this.seq) return this.closed({ code: 1006 }); // Something is missing: ask again.
    }
    this.on.event(message); // Without seq it is transient, and has no place in the log.
    this.advance(message.seq);
  }

  advance(seq) {
    if (!(seq > this.seq)) return;
    this.seq = seq;
    this.on.position(seq);
  }

  refused({ error_code: code, error_message: text }) {
    if (passing.has(code)) return this.closed({ code: 1006 });
    this.drop();
    this.on.state('refused', text);
  }

  closed({ code, reason = '' }) {
    this.drop();
    if (final.has(code)) return this.on.state('refused', reason || `closed with ${code}`);
    const asked = Number(/^retry_after_ms=(\d+)$/.exec(reason)?.[1]);
    const pause = Math.min(asked || again.first * 2 ** this.attempts++, again.most);
    this.timer = setTimeout(() => this.connect(), pause * (1 + Math.random() / 2));
    this.on.state('waiting');
  }
}
