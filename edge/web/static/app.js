// The page: it shows what one Follower hands over.
import { channels } from './channels.js';
import { Follower } from './follower.js';

const maxRows = 1000;
const clock = new Intl.DateTimeFormat([], {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hour12: false,
});
const element = (id) => document.getElementById(id);
const [choice, service, channel, replay, reconnect] = ['choice', 'service', 'channel', 'replay', 'reconnect'].map(element);
const [status, position, epoch, received, recovery, events] =
  ['status', 'position', 'epoch', 'received', 'recovery', 'events'].map(element);

let follower; // of what is shown
let queue = []; // events that came and are not shown yet
let drawing; // the timer that shows them
let count = 0; // events of this subscription
let fresh = 0; // events since the last subscribed
let story = ''; // what became of the position at the last subscribed

const states = {
  connecting: 'Connecting',
  reading: 'Reading the past',
  live: 'Live',
  waiting: 'Connection lost, trying again',
  disconnected: 'Disconnected',
  refused: 'Refused',
};

// follow shows a channel anew.
function follow(since) {
  follower?.drop();
  clearEvents();
  count = 0;
  recovery.textContent = position.textContent = epoch.textContent = '';
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const url = `${scheme}://${location.host}/ws/${service.value}`;
  follower = new Follower(url, channel.value.trim(), since, { state, subscribed, event, position: drawSoon, caughtUp });
  follower.connect();
}

function state(name, detail) {
  status.dataset.state = name;
  status.textContent = states[name];
  if (detail) recovery.textContent = detail;
  const away = name === 'disconnected' || name === 'refused';
  reconnect.disabled = name === 'refused';
  reconnect.textContent = away ? 'Reconnect with my position' : 'Disconnect';
  draw();
}

function subscribed(answer) {
  fresh = 0;
  epoch.textContent = answer.epoch;
  story = '';
  if (answer.recovered === false) {
    // What is shown is not the beginning of what follows.
    clearEvents();
    story = `Not everything could be recovered (${answer.reason}); shown again from position ${answer.seq + 1}.`;
  } else if (answer.resumed) {
    story = `Recovered: true. Went on behind position ${answer.seq}.`;
  }
  recovery.textContent = story;
}

function event(message) {
  count++;
  fresh++;
  queue.push(message);
  if (queue.length > maxRows) queue.shift();
  drawSoon();
}

function drawSoon() {
  drawing ??= setTimeout(draw, 30);
}

function caughtUp() {
  if (story) recovery.textContent = `${story} ${fresh} ${fresh === 1 ? 'event' : 'events'} came.`;
  draw();
}

// draw shows what has come, newest first.
function draw() {
  clearTimeout(drawing);
  drawing = undefined;
  const rows = document.createDocumentFragment();
  for (const message of queue.reverse()) rows.append(row(message));
  queue = [];
  events.prepend(rows);
  while (events.childElementCount > maxRows) events.lastElementChild.remove();
  position.textContent = follower?.seq ?? '';
  received.textContent = count;
}

function row(message) {
  const line = document.createElement('li');
  line.dataset.seq = message.seq ?? '';
  line.dataset.event = message.event;
  const time = document.createElement('time');
  time.dateTime = message.timestamp;
  time.textContent = clock.format(new Date(message.timestamp));
  line.append(cell('seq', message.seq ?? 'live'), time, cell('event', message.event), cell('data', JSON.stringify(message.data)));
  return line;
}

function cell(name, text) {
  const span = document.createElement('span');
  span.className = name;
  span.textContent = text;
  return span;
}

function clearEvents() {
  queue = [];
  events.replaceChildren();
}

function suggest() {
  const options = channels[service.value].map((name) => new Option(name, name));
  element('channels').replaceChildren(...options);
}

service.append(...Object.keys(channels).map((name) => new Option(name, name)));
service.value = 'dhruva';
channel.value = 'global';
suggest();
service.addEventListener('change', () => {
  suggest();
  channel.value = 'global';
});
choice.addEventListener('submit', (submit) => {
  submit.preventDefault();
  follow({ last: 50 });
});
replay.addEventListener('click', () => choice.reportValidity() && follow('start'));
reconnect.addEventListener('click', () => (follower.active ? follower.disconnect() : follower.connect()));
follow({ last: 50 });
