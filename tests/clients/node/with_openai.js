// The official `openai` client: chat completions, responses and embeddings.

import OpenAI, { APIError, BadRequestError, AuthenticationError, InternalServerError, RateLimitError } from "openai";
import { BASE, CACHED, CITY, KEY, PLACE, PNG, REPLY, SEEN_PNG, THOUGHTS, THROUGH, all, check, fails, model, raises, run, same } from "./suite.js";

const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const USER = [{ role: "user", content: "Hello" }];
const WEATHER = { type: "function", function: { name: "weather", description: "The weather.", parameters: CITY } };
const FUNCTION = { type: "function", name: "weather", parameters: CITY, strict: true };
const PICTURE = `data:image/png;base64,${PNG}`;

const chat = (what, messages = USER, more = {}) => client.chat.completions.create({ model: model(what), messages, ...more });
const respond = (what, input = "Hello", more = {}) => client.responses.create({ model: model(what), input, store: false, ...more });
const said = (answer) => answer.choices[0].message.content;

await run({
  async chat_text() {
    const answer = await chat("text", USER, { temperature: 0.5, max_completion_tokens: 100 });
    same([said(answer), answer.choices[0].finish_reason], [REPLY, "stop"]);
    same([answer.usage.prompt_tokens, answer.usage.completion_tokens], [20, 12]);
    if (CACHED) same(answer.usage.prompt_tokens_details.cached_tokens, CACHED);
  },

  async chat_stream() {
    for (const what of ["text", "text-crlf", "text-split", "text-comments", "text-no-done"]) {
      const stream = client.chat.completions.stream({ model: model(what), messages: USER, stream_options: { include_usage: true } });
      const chunks = await all(stream);
      same(said(await stream.finalChatCompletion()), REPLY);
      check(chunks.filter((chunk) => chunk.choices[0]?.delta.content).length >= 2, "it came in one piece");
      same(chunks.findLast((chunk) => chunk.usage).usage.completion_tokens, 12);
    }
    for (const what of ["text-midstream-error", "text-cut"]) {
      const error = await fails(what, async () => all(await chat(what, USER, { stream: true })));
      // Directly it is the connection that ends in a cut; a gateway says it as an error of the API.
      const byTheApi = THROUGH || what !== "text-cut";
      check(!byTheApi || error instanceof APIError, `${what}: ${error.constructor.name}`);
    }
  },

  async chat_tools() {
    const question = [{ role: "user", content: "Weather?" }];
    const answer = await chat("tool", question, { tools: [WEATHER] });
    const call = answer.choices[0].message.tool_calls[0];
    same([call.function.name, JSON.parse(call.function.arguments)], ["weather", { city: "Paris" }]);
    const result = { role: "tool", tool_call_id: call.id, content: "Sunny" };
    same(said(await chat("tool", [...question, answer.choices[0].message, result], { tools: [WEATHER] })), "The tool said: Sunny");
    const runner = client.chat.completions.runTools({
      model: model("tool"),
      messages: question,
      stream: true,
      tools: [{ type: "function", function: { ...WEATHER.function, parse: JSON.parse, function: ({ city }) => `Sunny in ${city}` } }],
    });
    same(await runner.finalContent(), "The tool said: Sunny in Paris");
  },

  async chat_json() {
    const response_format = { type: "json_schema", json_schema: { name: "place", strict: true, schema: PLACE } };
    const answer = await client.chat.completions.parse({ model: model("json"), messages: USER, response_format });
    same(JSON.parse(said(answer)), { city: "Paris", people: 7 });
  },

  async chat_image() {
    const content = [{ type: "text", text: "What is it?" }, { type: "image_url", image_url: { url: PICTURE } }];
    same(said(await chat("see", [{ role: "user", content }])), SEEN_PNG);
  },

  async chat_errors() {
    await raises(RateLimitError, 429, () => chat("error-429"));
    await raises(BadRequestError, 400, () => chat("error-400"));
    await raises(InternalServerError, undefined, () => chat("error-500"));
    await raises(BadRequestError, 400, () => chat("text", USER, { no_such_field: 1 }));
    const stranger = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: "lethe_wrong", maxRetries: 0 });
    await raises(AuthenticationError, 401, () => stranger.chat.completions.create({ model: model("text"), messages: USER }));
  },

  async responses_text() {
    const answer = await respond("text", "Hello", { instructions: "Be brief." });
    same([answer.output_text, answer.status, answer.usage.output_tokens], [REPLY, "completed", 12]);
  },

  async responses_stream() {
    for (const what of ["text", "text-crlf", "text-split", "text-comments"]) {
      const stream = client.responses.stream({ model: model(what), input: "Hello", store: false });
      const kinds = (await all(stream)).map((event) => event.type);
      same([kinds[0], kinds.at(-1)], ["response.created", "response.completed"]);
      same((await stream.finalResponse()).output_text, REPLY);
    }
  },

  async responses_tools() {
    const question = [{ role: "user", content: "Weather?" }];
    const answer = await respond("tool", question, { tools: [FUNCTION] });
    const call = answer.output.find((item) => item.type === "function_call");
    same([call.name, JSON.parse(call.arguments)], ["weather", { city: "Paris" }]);
    const result = { type: "function_call_output", call_id: call.call_id, output: "Sunny" };
    const given = [...question, { type: "function_call", call_id: call.call_id, name: call.name, arguments: call.arguments }, result];
    same((await respond("tool", given, { tools: [FUNCTION] })).output_text, "The tool said: Sunny");
  },

  async responses_json() {
    const text = { format: { type: "json_schema", name: "place", strict: true, schema: PLACE } };
    same((await client.responses.parse({ model: model("json"), input: "Hello", store: false, text })).output_parsed, { city: "Paris", people: 7 });
  },

  async responses_image() {
    const content = [{ type: "input_text", text: "What is it?" }, { type: "input_image", image_url: PICTURE, detail: "auto" }];
    same((await respond("see", [{ role: "user", content }])).output_text, SEEN_PNG);
  },

  async responses_think() {
    const more = { reasoning: { effort: "low", summary: "auto" }, include: ["reasoning.encrypted_content"] };
    const answer = await respond("think", "Hello", more);
    same([answer.output[0].type, answer.output[0].summary[0].text, answer.output_text], ["reasoning", THOUGHTS, REPLY]);
    // Gemini signs what it says and not the thoughts before it: then it is in an item of its own.
    check(answer.output.some((item) => item.type === "reasoning" && item.encrypted_content), "no encrypted content");
  },

  async responses_errors() {
    await raises(RateLimitError, 429, () => respond("error-429"));
    await raises(BadRequestError, 400, () => respond("error-400"));
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model: model("embed"), input: ["a", "b"] });
    same(answer.data.map((item) => [...item.embedding]), [[0.25, -0.5, 1], [0.25, -0.5, 1]]);
  },
});
