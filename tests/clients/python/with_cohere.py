"""The official `cohere` client: chat, embed and rerank of its second version."""

import json

import cohere
from suite import BASE, CITY, KEY, PLACE, PNG, REPLY, SEEN_PNG, THOUGHTS, model, raises, run, same

client = cohere.ClientV2(api_key=KEY, base_url=BASE)
USER = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}
ONCE = {"max_retries": 0}


def ask(what, messages=USER, **more):
    return client.chat(model=model(what), messages=messages, request_options=ONCE, **more)


def said(answer):
    return "".join(part.text for part in answer.message.content if part.type == "text")


def text():
    answer = ask("text", max_tokens=100, p=0.9, k=10)
    same((said(answer), answer.finish_reason), (REPLY, "COMPLETE"))
    same((answer.usage.tokens.input_tokens, answer.usage.tokens.output_tokens), (20, 12))
    same(ask("length").finish_reason, "MAX_TOKENS")


def streamed():
    for what in ("text", "text-split", "text-crlf", "text-no-done"):
        events = list(client.chat_stream(model=model(what), messages=USER))
        same("".join(event.delta.message.content.text for event in events if event.type == "content-delta"), REPLY)
        same((events[0].type, events[-1].type, events[-1].delta.usage.tokens.output_tokens), ("message-start", "message-end", 12))


def tools():
    question = [{"role": "user", "content": "Weather?"}]
    answer = ask("tool", question, tools=[WEATHER])
    call = answer.message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "Paris"}))
    asked = {"role": "assistant", "tool_plan": answer.message.tool_plan, "tool_calls": answer.message.tool_calls}
    result = {"role": "tool", "tool_call_id": call.id, "content": [{"type": "document", "document": {"data": "Sunny"}}]}
    same(said(ask("tool", [*question, asked, result], tools=[WEATHER])), "The tool said: Sunny")
    events = list(client.chat_stream(model=model("tool"), messages=question, tools=[WEATHER]))
    pieces = [event.delta.message.tool_calls.function.arguments for event in events if event.type == "tool-call-delta"]
    same(json.loads("".join(pieces)), {"city": "Paris"})


def structured():
    answer = ask("json", response_format={"type": "json_object", "json_schema": PLACE})
    same(json.loads(said(answer)), {"city": "Paris", "people": 7})


def image():
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
    same(said(ask("see", [{"role": "user", "content": parts}])), SEEN_PNG)


def think():
    answer = ask("think", thinking={"type": "enabled"})
    same((answer.message.content[0].thinking, said(answer)), (THOUGHTS, REPLY))


def embed():
    answer = client.embed(model=model("embed"), texts=["a", "b"], input_type="search_document", embedding_types=["float"])
    same(answer.embeddings.float_, [[0.25, -0.5, 1.0]] * 2)


def rerank():
    answer = client.rerank(model=model("rerank"), query="capital of France", documents=["Berlin", "Paris is a capital"], top_n=1)
    same([(result.index, result.relevance_score) for result in answer.results], [(1, 0.9)])


def errors():
    raises(cohere.TooManyRequestsError, 429, lambda: ask("error-429"))
    raises(cohere.BadRequestError, 400, lambda: ask("error-400"))
    raises(cohere.InternalServerError, 500, lambda: ask("error-500"))
    stranger = cohere.ClientV2(api_key="lethe_wrong", base_url=BASE)
    raises(cohere.UnauthorizedError, 401, lambda: stranger.chat(model=model("text"), messages=USER))


run({part.__name__: part for part in (text, streamed, tools, structured, image, think, embed, rerank, errors)})
