// The official `openai` client over WebSocket: responses, one after the other on one connection.

import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { BASE, CITY, KEY, REPLY, check, model, run, same } from "./suite.js";

const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const FUNCTION = { type: "function", name: "weather", parameters: CITY, strict: true };
const ENDS = ["response.completed", "response.incomplete", "response.failed", "error"];

/** A connection, and what gives every event of one answer. */
function connect() {
  const connection = new ResponsesWS(client);
  const events = [];
  let arrived = () => {};
  connection.on("event", (event) => {
    events.push(event);
    arrived();
  });
  connection.on("error", () => {});
  const ask = async (what, input = "Hello", more = {}) => {
    connection.send({ type: "response.create", model: model(what), input, store: false, ...more });
    const answer = [];
    while (!ENDS.includes(answer.at(-1)?.type)) {
      if (events.length === 0) await new Promise((resolve) => (arrived = resolve));
      answer.push(...events.splice(0));
    }
    return answer;
  };
  return { connection, ask };
}

const said = (events) =>
  events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");

await run({
  async text() {
    const { connection, ask } = connect();
    for (const what of ["text", "text-crlf", "text-split", "text-comments"]) {
      const events = await ask(what);
      same([what, events[0].type, events.at(-1).type, said(events)], [what, "response.created", "response.completed", REPLY]);
    }
    connection.close();
  },

  async tools() {
    const { connection, ask } = connect();
    const question = [{ role: "user", content: "Weather?" }];
    const answer = (await ask("tool", question, { tools: [FUNCTION] })).at(-1).response;
    const call = answer.output.find((item) => item.type === "function_call");
    same([call.name, JSON.parse(call.arguments)], ["weather", { city: "Paris" }]);
    const result = { type: "function_call_output", call_id: call.call_id, output: "Sunny" };
    const given = [...question, { type: "function_call", call_id: call.call_id, name: call.name, arguments: call.arguments }, result];
    same(said(await ask("tool", given, { tools: [FUNCTION] })), "The tool said: Sunny");
    connection.close();
  },

  async errors() {
    const { connection, ask } = connect();
    for (const [what, more, status, code] of [
      ["text", { previous_response_id: "resp_1" }, 400, "zero_retention_conflict"],
      ["no-such-model", {}, 404, "model_not_found"],
      ["error-429", {}, 429, undefined],
    ]) {
      const error = (await ask(what, "Hello", more)).at(-1);
      same([error.type, error.status], ["error", status]);
      check(error.error.message && (code === undefined || error.error.code === code), JSON.stringify(error));
      same(said(await ask("text")), REPLY);
    }
    connection.close();
  },
});
