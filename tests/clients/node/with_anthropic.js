// The official `@anthropic-ai/sdk` client: messages and count_tokens.

import Anthropic, { APIError, AuthenticationError, BadRequestError, InternalServerError, RateLimitError } from "@anthropic-ai/sdk";
import { BASE, CACHED, CITY, KEY, PLACE, PNG, REPLY, SEEN_PNG, THOUGHTS, THROUGH, check, fails, model, raises, run, same } from "./suite.js";

const client = new Anthropic({ baseURL: BASE, apiKey: KEY, maxRetries: 0 });
const USER = [{ role: "user", content: "Hello" }];
const WEATHER = { name: "weather", description: "The weather.", input_schema: CITY };

const asked = (what, messages, more) => ({ model: model(what), max_tokens: 2048, messages, ...more });
const ask = (what, messages = USER, more = {}) => client.messages.create(asked(what, messages, more));
const stream = (what, messages = USER, more = {}) => client.messages.stream(asked(what, messages, more)).finalMessage();
const said = (answer) => answer.content.filter((block) => block.type === "text").map((block) => block.text).join("");

await run({
  async text() {
    const answer = await ask("text", USER, { system: "Be brief." });
    same([said(answer), answer.stop_reason, answer.usage.output_tokens], [REPLY, "end_turn", 12]);
    same([answer.usage.input_tokens, answer.usage.cache_read_input_tokens ?? 0], [20 - CACHED, CACHED]);
  },

  async streamed() {
    for (const what of ["text", "text-crlf", "text-split", "text-comments", "text-slow"]) {
      const answer = await stream(what);
      same([said(answer), answer.stop_reason, answer.usage.output_tokens], [REPLY, "end_turn", 12]);
    }
    for (const what of ["text-midstream-error", "text-cut"]) {
      const error = await fails(what, () => stream(what));
      const byTheApi = THROUGH || what !== "text-cut";
      check(!byTheApi || error instanceof APIError, `${what}: ${error.constructor.name}`);
    }
  },

  async tools() {
    const question = [{ role: "user", content: "Weather?" }];
    for (const answer of [await ask("tool", question, { tools: [WEATHER] }), await stream("tool", question, { tools: [WEATHER] })]) {
      const call = answer.content.find((block) => block.type === "tool_use");
      same([answer.stop_reason, call.name, call.input], ["tool_use", "weather", { city: "Paris" }]);
      const result = { type: "tool_result", tool_use_id: call.id, content: "Sunny" };
      const given = [...question, { role: "assistant", content: answer.content }, { role: "user", content: [result] }];
      same(said(await ask("tool", given, { tools: [WEATHER] })), "The tool said: Sunny");
    }
  },

  async structured() {
    const answer = await ask("json", USER, { output_config: { format: { type: "json_schema", schema: PLACE } } });
    same(JSON.parse(said(answer)), { city: "Paris", people: 7 });
  },

  async image() {
    const block = { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } };
    same(said(await ask("see", [{ role: "user", content: [block] }])), SEEN_PNG);
  },

  async think() {
    const answer = await stream("think", USER, { thinking: { type: "enabled", budget_tokens: 1024 } });
    same([answer.content[0].type, answer.content[0].thinking, said(answer)], ["thinking", THOUGHTS, REPLY]);
    // Gemini signs what it says and not the thoughts before it: then it is in a block of its own.
    check(answer.content[0].signature || answer.content.at(-1).type === "redacted_thinking", "no signature");
  },

  async count() {
    same((await client.messages.countTokens({ model: model("text"), messages: USER })).input_tokens, 20);
  },

  async errors() {
    const error = await raises(RateLimitError, 429, () => ask("error-429"));
    same(error.error.error.type, "rate_limit_error");
    await raises(BadRequestError, 400, () => ask("error-400"));
    await raises(InternalServerError, undefined, () => ask("error-500"));
    await raises(BadRequestError, 400, () => ask("text", USER, { no_such_field: 1 }));
    const stranger = new Anthropic({ baseURL: BASE, apiKey: "lethe_wrong", maxRetries: 0 });
    await raises(AuthenticationError, 401, () => stranger.messages.create(asked("text", USER)));
  },
});
