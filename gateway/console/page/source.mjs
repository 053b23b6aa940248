// Where the console gets what it shows: this node, and nobody else.

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

/// Kept for this tab alone.
export const apiKey = {
  get: () => sessionStorage.getItem('ovir-key') ?? '',
  set: (value) => (value ? sessionStorage.setItem('ovir-key', value) : sessionStorage.removeItem('ovir-key')),
};

export const ask = async (path, options = {}) => {
  const headers = { ...options.headers };
  if (apiKey.get()) { headers.Authorization = `Bearer ${apiKey.get()}`; }
  const response = await fetch(path, { ...options, headers, credentials: 'omit' });
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    throw new Refused(response.status, body?.error?.message ?? `the node answers ${response.status}`);
  }
  return response;
};

export const look = async (path) => (await ask(`/v1/cluster/${path}`)).json();

/// Events of a stream, each {event, id, data}.
export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) { return; }
    rest += value;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = { event: 'message', id: '', data: '' };
      for (const line of rest.slice(0, end).split('\n')) {
        const colon = line.indexOf(':');
        const field = line.slice(0, colon);
        if (colon > 0) { event[field] = (event[field] && field === 'data' ? `${event.data}\n` : '') + line.slice(colon + 1).trimStart(); }
      }
      rest = rest.slice(end + 2);
      if (event.data) { yield event; }
    }
  }
}

/// Follows the node until `signal` aborts; `news(kind, data)` for each event, `state(text, lost)`
/// about the connection.
export const follow = async (signal, news, state) => {
  for (let pause = 250; !signal.aborted; pause = Math.min(2 * pause, 5000)) {
    try {
      const response = await ask('/v1/cluster/events', { signal });
      state('live', false);
      for await (const event of eventsOf(response)) {
        pause = 250;
        news(event.event, JSON.parse(event.data));
      }
      state('the node ended the stream; asking again', true);
    } catch (error) {
      if (signal.aborted) { return; }
      state(error instanceof Refused ? error.message : 'the node does not answer; asking again', true);
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) { return; }
    }
    await new Promise((done) => { setTimeout(done, pause); });
  }
};
