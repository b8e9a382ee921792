// Drives one client: node drive.mjs NAME URL. Writes a line of JSON for all that it says.
const [name, url] = process.argv.slice(2);
const say = (what, facts = {}) => console.log(JSON.stringify({what, ...facts}));

const clients = {
  async 'fetch-event-source'() {
    globalThis.window ??= globalThis; // it is a browser's
    globalThis.document ??= {hidden: false, addEventListener() {}, removeEventListener() {}};
    const {fetchEventSource} = await import('@microsoft/fetch-event-source');
    await fetchEventSource(url, {
      onmessage: ({event, data, id}) => say('event', {event, data, id}),
      onerror: error => say('error', {text: String(error)}),
    });
    say('end');
  },
  async 'eventsource-client'() {
    const {createEventSource} = await import('eventsource-client');
    createEventSource({
      url,
      onMessage: ({event, data, id}) => say('event', {event, data, id}),
      onDisconnect: () => say('error'),
    });
  },
  async 'launchdarkly-eventsource'() {
    const {default: {EventSource}} = await import('launchdarkly-eventsource');
    const source = new EventSource(url);
    source.onmessage = ({data, lastEventId}) => say('event', {data, id: lastEventId});
    source.onerror = ({message}) => say('error', {text: message});
  },
  async undici() {
    const {EventSource} = await import('undici');
    setInterval(() => {}, 1000); // its wait alone does not keep the program alive
    const source = new EventSource(url);
    source.onmessage = ({data, lastEventId}) => say('event', {data, id: lastEventId});
    source.onerror = () => say('error', {state: source.readyState});
  },
  async ai(resume) {
    const {DefaultChatTransport} = await import('ai');
    const transport = new DefaultChatTransport({
      api: url, prepareReconnectToStreamRequest: () => ({api: url}),
    });
    const stream = resume ? await transport.reconnectToStream({chatId: '1'})
      : await transport.sendMessages({chatId: '1', messages: [], trigger: 'submit-message'});
    if (stream === null) return say('nothing');
    for await (const chunk of stream) say('event', {data: chunk});
    say('end');
  },
  'ai-resume': () => clients.ai(true),
  async 'ag-ui'() {
    const {HttpAgent} = await import('@ag-ui/client');
    const agent = new HttpAgent({url, initialMessages: [{id: 'q', role: 'user', content: 'Hello?'}]});
    await agent.runAgent({}, {
      onEvent: ({event}) => say('event', {data: event}),
      onRunErrorEvent: ({event}) => say('failed', {text: event.message}),
    });
    say('end', {messages: agent.messages});
  },
  async 'graphql-sse'() {
    const {createClient} = await import('graphql-sse');
    const client = createClient({url, retryAttempts: 0});
    await new Promise(resolve => client.subscribe({query: 'subscription { word }'}, {
      next: data => say('event', {data}),
      error: error => { say('error', {text: String(error)}); resolve(); },
      complete: () => { say('end'); resolve(); },
    }));
  },
};

try {
  await clients[name]();
} catch (error) {
  say('error', {text: String(error)});
}
