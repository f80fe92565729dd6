// Programs of the npm registry: `node node.mjs MODE`. It ends with 0 when the mode's assertions hold.
import assert from "node:assert";
import { main } from "./_run.mjs";

const BASE = process.env.BASE;
const V1 = `${BASE}/v1`;
const ANSWER = "the whole answer";
const ASK = [{ role: "user", content: "What is it?" }];
const WEATHER = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

async function openai() {
  const { default: OpenAI } = await import("openai");
  return new OpenAI({ baseURL: V1, apiKey: "none", maxRetries: 0 });
}

async function anthropic() {
  const { default: Anthropic } = await import("@anthropic-ai/sdk");
  return new Anthropic({ baseURL: BASE, apiKey: "none", maxRetries: 0 });
}

async function collected(stream) {
  let text = "";
  for await (const piece of stream) text += piece;
  return text;
}

const modes = {
  async openai_chat() {
    const answer = await (await openai()).chat.completions.create({ model: "text", messages: ASK });
    assert.equal(answer.choices[0].message.content, ANSWER);
  },
  async openai_chat_stream() {
    let text = "";
    const stream = await (await openai()).chat.completions.create({ model: "text", messages: ASK, stream: true });
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    assert.equal(text, ANSWER);
  },
  async openai_run_tools() {
    const tool = { type: "function", function: { name: "weather", parameters: WEATHER, parse: JSON.parse, function: () => "warm" } };
    const runner = (await openai()).chat.completions.runTools({ model: "tools", messages: ASK, tools: [tool] });
    await runner.finalContent();
    assert.ok(runner.messages.some((message) => message.role === "tool"));
  },
  async openai_responses() {
    const answer = await (await openai()).responses.create({ model: "text", input: "What is it?" });
    assert.equal(answer.output_text, ANSWER);
  },
  async openai_responses_stream() {
    const stream = (await openai()).responses.stream({ model: "text", input: "What is it?" });
    assert.equal((await stream.finalResponse()).output_text, ANSWER);
  },
  async openai_responses_tools() {
    const tools = [{ type: "function", name: "weather", parameters: WEATHER, strict: false }];
    const answer = await (await openai()).responses.create({ model: "tools", input: "What?", tools, tool_choice: "required" });
    assert.equal(answer.output.find((item) => item.type === "function_call").name, "weather");
  },
  async openai_responses_parse() {
    const { zodTextFormat } = await import("openai/helpers/zod");
    const { z } = await import("zod");
    const format = zodTextFormat(z.object({ name: z.string() }), "city");
    const answer = await (await openai()).responses.parse({ model: "tools", input: "Which city?", text: { format } });
    assert.equal(typeof answer.output_parsed.name, "string");
  },
  async anthropic_create() {
    const answer = await (await anthropic()).messages.create({ model: "text", max_tokens: 99, messages: ASK });
    assert.equal(answer.content[0].text, ANSWER);
  },
  async anthropic_stream() {
    const stream = (await anthropic()).messages.stream({ model: "text", max_tokens: 99, messages: ASK });
    assert.equal(await stream.finalText(), ANSWER);
  },
  async anthropic_tools() {
    const tools = [{ name: "weather", input_schema: WEATHER }];
    const options = { model: "tools", max_tokens: 99, messages: ASK, tools, tool_choice: { type: "any" } };
    const answer = await (await anthropic()).messages.create(options);
    assert.equal(answer.stop_reason, "tool_use");
  },
  async ai_sdk_openai_default() {
    const { generateText } = await import("ai");
    const { createOpenAI } = await import("@ai-sdk/openai");
    const model = createOpenAI({ baseURL: V1, apiKey: "none" })("text");
    assert.equal((await generateText({ model, prompt: "What is it?", maxRetries: 0 })).text, ANSWER);
  },
  async ai_sdk_openai_default_stream() {
    const { streamText } = await import("ai");
    const { createOpenAI } = await import("@ai-sdk/openai");
    const model = createOpenAI({ baseURL: V1, apiKey: "none" })("text");
    assert.equal(await collected(streamText({ model, prompt: "What is it?", maxRetries: 0 }).textStream), ANSWER);
  },
  async ai_sdk_openai_default_tools() {
    const { generateText, tool } = await import("ai");
    const { createOpenAI } = await import("@ai-sdk/openai");
    const { z } = await import("zod");
    const weather = tool({ description: "Weather.", inputSchema: z.object({ city: z.string() }), execute: async () => "warm" });
    const model = createOpenAI({ baseURL: V1, apiKey: "none" })("tools");
    const result = await generateText({ model, prompt: "What is it?", tools: { weather }, maxRetries: 0 });
    assert.equal(result.toolResults[0].output, "warm");
  },
  async ai_sdk_compatible() {
    const { generateText } = await import("ai");
    const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
    const model = createOpenAICompatible({ name: "moa", baseURL: V1, apiKey: "none" })("text");
    assert.equal((await generateText({ model, prompt: "What is it?", maxRetries: 0 })).text, ANSWER);
  },
  async ai_sdk_compatible_stream() {
    const { streamText } = await import("ai");
    const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
    const model = createOpenAICompatible({ name: "moa", baseURL: V1, apiKey: "none" })("text");
    assert.equal(await collected(streamText({ model, prompt: "What is it?", maxRetries: 0 }).textStream), ANSWER);
  },
  async ai_sdk_anthropic() {
    const { generateText } = await import("ai");
    const { createAnthropic } = await import("@ai-sdk/anthropic");
    const model = createAnthropic({ baseURL: V1, apiKey: "none" })("text");
    assert.equal((await generateText({ model, prompt: "What is it?", maxRetries: 0 })).text, ANSWER);
  },
  async langchain_chat() {
    const { ChatOpenAI } = await import("@langchain/openai");
    const model = new ChatOpenAI({ model: "text", apiKey: "none", configuration: { baseURL: V1 }, maxRetries: 0 });
    assert.equal((await model.invoke("What is it?")).text, ANSWER);
  },
  async langchain_responses() {
    const { ChatOpenAI } = await import("@langchain/openai");
    const options = { model: "text", apiKey: "none", configuration: { baseURL: V1 }, maxRetries: 0 };
    const model = new ChatOpenAI({ ...options, useResponsesApi: true });
    assert.equal((await model.invoke("What is it?")).text, ANSWER);
  },
};

async function mcp(transport) {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const client = new Client({ name: "test", version: "1" });
  await client.connect(transport);
  const result = await client.callTool({ name: "moa_answer", arguments: { question: "What is it?" } });
  assert.equal(result.structuredContent.answer, ANSWER);
  assert.equal(result.structuredContent.drafts.length, 2);
  await client.close();
}

Object.assign(modes, {
  async mcp_http() {
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    await mcp(new StreamableHTTPClientTransport(new URL(`${BASE}/mcp`)));
  },
  async mcp_stdio() {
    const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
    const { command, env } = JSON.parse(process.env.MOA_MCP);
    await mcp(new StdioClientTransport({ command: command[0], args: command.slice(1), env }));
  },
  async agents_responses() {
    const { Agent, OpenAIProvider, Runner, setTracingDisabled } = await import("@openai/agents");
    setTracingDisabled(true);
    const provider = new OpenAIProvider({ openAIClient: await openai(), useResponses: true });
    const result = await new Runner({ modelProvider: provider }).run(new Agent({ name: "a", model: "text" }), "What is it?");
    assert.equal(result.finalOutput, ANSWER);
  },
  async langchain_anthropic() {
    const { ChatAnthropic } = await import("@langchain/anthropic");
    const model = new ChatAnthropic({ model: "text", apiKey: "none", anthropicApiUrl: BASE, maxRetries: 0 });
    assert.equal((await model.invoke("What is it?")).text, ANSWER);
  },
});

await main(modes);
