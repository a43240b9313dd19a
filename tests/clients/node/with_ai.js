// The `ai` package with each of its providers: CLIENT_PARTS chooses which of them.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, embedMany, generateText, isStepCount, jsonSchema, streamText, tool } from "ai";
import { BASE, CITY, KEY, PLACE, PNG, REPLY, SEEN_PNG, check, fails, model, run, same } from "./suite.js";

globalThis.AI_SDK_LOG_WARNINGS = false;
const weather = tool({ description: "The weather.", inputSchema: jsonSchema(CITY), execute: async ({ city }) => `Sunny in ${city}` });
const stepsAreTwo = isStepCount(2);

async function conversation(named, providerOptions) {
  const ask = (what, more) => generateText({ model: named(model(what)), maxRetries: 0, prompt: "Hello", providerOptions, ...more });

  const answer = await ask("text", { maxOutputTokens: 100 });
  same([answer.text, answer.finishReason], [REPLY, "stop"]);
  same([answer.usage.inputTokens, answer.usage.outputTokens], [20, 12]);

  for (const what of ["text", "text-crlf", "text-split", "text-comments"]) {
    const pieces = [];
    const result = streamText({ model: named(model(what)), maxRetries: 0, prompt: "Hello", providerOptions });
    for await (const piece of result.textStream) pieces.push(piece);
    same([pieces.join(""), (await result.usage).outputTokens], [REPLY, 12]);
    check(pieces.length >= 2, "it came in one piece");
  }

  const turns = await ask("tool", { tools: { weather }, stopWhen: stepsAreTwo });
  same(turns.text, "The tool said: Sunny in Paris");
  const streamed = streamText({ model: named(model("tool")), maxRetries: 0, prompt: "Weather?", providerOptions, tools: { weather }, stopWhen: stepsAreTwo });
  same(await streamed.text, "The tool said: Sunny in Paris");

  const form = await ask("json", { output: Output.object({ schema: jsonSchema(PLACE) }) });
  same(form.output, { city: "Paris", people: 7 });

  const content = [{ type: "text", text: "What is it?" }, { type: "file", mediaType: "image/png", data: PNG }];
  same((await ask("see", { prompt: undefined, messages: [{ role: "user", content }] })).text, SEEN_PNG);

  for (const [what, status] of [["error-429", 429], ["error-400", 400]]) {
    const error = await fails(what, () => ask(what));
    check(APICallError.isInstance(error), `${what}: ${error}`);
    same(error.statusCode, status);
  }
  const seen = [];
  const broken = streamText({ model: named(model("text-midstream-error")), maxRetries: 0, prompt: "Hello", providerOptions, onError: ({ error }) => seen.push(error) });
  await broken.consumeStream();
  check(seen.length > 0, "an error in the middle of a stream was not seen");
}

await run({
  openai_chat: () => conversation(createOpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY }).chat),
  // Where nothing is stored, items are sent back whole; unless it is told so, this client sends thoughts as a reference to what the server keeps.
  openai_responses: () =>
    conversation((name) => createOpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY }).responses(name), { openai: { store: false } }),
  anthropic: () => conversation(createAnthropic({ baseURL: `${BASE}/v1`, apiKey: KEY })),
  openai_compatible: () =>
    conversation(createOpenAICompatible({ name: "lethe", baseURL: `${BASE}/v1`, apiKey: KEY, includeUsage: true, supportsStructuredOutputs: true })),
  async embeddings() {
    const embedder = createOpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY }).embedding(model("embed"));
    same((await embedMany({ model: embedder, values: ["a", "b"], maxRetries: 0 })).embeddings, [[0.25, -0.5, 1], [0.25, -0.5, 1]]);
  },
});
