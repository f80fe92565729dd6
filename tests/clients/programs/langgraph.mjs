// JavaScript clients of `langgraph dev`: the SDK, RemoteGraph, React's useStream, A2A.
import assert from "node:assert";
import { main } from "./_run.mjs";

const URL = process.env.LANGGRAPH_URL;
const ANSWER = "the whole answer";
const INPUT = { messages: [{ role: "user", content: "What is it?" }] };
const EVENTS = { round_started: 1, draft: 3, aggregating: 1, finished: 1 };

async function client() {
  const { Client } = await import("@langchain/langgraph-sdk");
  return new Client({ apiUrl: URL });
}

function counted(events) {
  const counts = {};
  for (const event of events) counts[event.moa] = (counts[event.moa] ?? 0) + 1;
  for (const [kind, count] of Object.entries(EVENTS)) assert.equal(counts[kind], count, JSON.stringify(counts));
  return counts;
}

function text(message) {
  return typeof message.content === "string" ? message.content : message.content.map((block) => block.text).join("");
}

async function legacy() {
  const events = [];
  for await (const part of (await client()).runs.stream(null, "moa", { input: INPUT, streamMode: "custom" }))
    if (part.event === "custom") events.push(part.data);
  return counted(events);
}

const modes = {
  async sdk_runs_stream() {
    await legacy();
  },
  async sdk_runs_wait() {
    const state = await (await client()).runs.wait(null, "moa", { input: INPUT });
    assert.equal(state.messages.at(-1).content, ANSWER);
  },
  async sdk_threads_stream() {
    const thread = (await client()).threads.stream({ assistantId: "moa" });
    const events = [];
    const subscription = await thread.subscribe(["custom"]);
    const reading = (async () => {
      for await (const event of subscription) events.push(event?.params?.data?.payload ?? event?.params?.data ?? event);
    })();
    await thread.run.start({ input: INPUT });
    const output = await thread.output;
    assert.equal(text(output.messages.at(-1)), ANSWER);
    await Promise.race([reading, new Promise((done) => setTimeout(done, 3000))]);
    await thread.close();
    assert.deepEqual(counted(events), await legacy());
  },
  async sdk_threads_stream_messages() {
    const thread = (await client()).threads.stream({ assistantId: "moa" });
    await thread.run.start({ input: INPUT });
    const texts = [];
    for await (const message of thread.messages) {
      let text = "";
      for await (const token of message.text) text += token;
      texts.push(text);
    }
    await thread.close();
    assert.deepEqual(texts, [ANSWER]);
  },
  async remote_graph() {
    const { RemoteGraph } = await import("@langchain/langgraph/remote");
    const graph = new RemoteGraph({ graphId: "moa", url: URL });
    const state = await graph.invoke(INPUT);
    assert.equal(state.messages.at(-1).content, ANSWER);
  },
  async use_stream() {
    const { JSDOM } = await import("jsdom");
    const page = new JSDOM("<div id=root></div>");
    Object.assign(globalThis, { window: page.window, document: page.window.document });
    globalThis.navigator ??= page.window.navigator;
    const { createElement } = await import("react");
    const { createRoot } = await import("react-dom/client");
    const { useStream, useChannel } = await import("@langchain/react");
    let stream, events;
    function Chat() {
      stream = useStream({ assistantId: "moa", apiUrl: URL });
      events = useChannel(stream, ["custom"]);
      return createElement("ul", null, ...stream.messages.map((each, i) => createElement("li", { key: i }, each.text)));
    }
    createRoot(page.window.document.getElementById("root")).render(createElement(Chat));
    const until = async (what) => {
      for (let tries = 0; tries < 300 && !what(); tries++) await new Promise((done) => setTimeout(done, 100));
      assert.ok(what(), `${what}: ${page.window.document.body.textContent} ${events?.length}`);
    };
    await until(() => stream);
    await stream.submit(INPUT);
    await until(() => page.window.document.body.textContent.includes(ANSWER));
    const payloads = () => events.map((event) => event.params.data.payload ?? event.params.data);
    await until(() => payloads().some((event) => event.moa === "finished"));
    assert.deepEqual(counted(payloads()), await legacy());
    assert.equal(stream.values.drafts.length, 3);
  },
  async a2a() {
    const { ClientFactory } = await import("@a2a-js/sdk/client");
    const { Role } = await import("@a2a-js/sdk");
    const [assistant] = await (await client()).assistants.search({ graphId: "moa_answer", limit: 1 });
    const card = `/.well-known/agent-card.json?assistant_id=${assistant.assistant_id}`;
    const agent = await new ClientFactory().createFromUrl(URL, card);
    const content = { $case: "text", value: "What is it?" };
    const message = { messageId: crypto.randomUUID(), role: Role.ROLE_USER, parts: [{ content }], extensions: [], referenceTaskIds: [] };
    const reply = await agent.sendMessage({ message, tenant: "" });
    assert.match(JSON.stringify(reply), /the whole answer/);
  },
};

await main(modes);
