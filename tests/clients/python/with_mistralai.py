"""The official `mistralai` client: chat."""

import json

from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from suite import BASE, CITY, KEY, PLACE, PNG, REPLY, SEEN_PNG, THOUGHTS, model, run, same

client = Mistral(api_key=KEY, server_url=f"{BASE}/mistral")
USER = [{"role": "user", "content": "Hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}


def ask(what, messages=USER, **more):
    return client.chat.complete(model=model(what), messages=messages, retries=None, **more)


def text():
    answer = ask("text", max_tokens=100, random_seed=1)
    same((answer.choices[0].message.content, answer.choices[0].finish_reason), (REPLY, "stop"))
    same((answer.usage.prompt_tokens, answer.usage.completion_tokens), (20, 12))


def streamed():
    for what in ("text", "text-split", "text-crlf"):
        with client.chat.stream(model=model(what), messages=USER) as events:
            chunks = [event.data for event in events]
        same("".join(chunk.choices[0].delta.content or "" for chunk in chunks), REPLY)
        same(chunks[-1].usage.completion_tokens, 12)


def tools():
    question = [{"role": "user", "content": "Weather?"}]
    answer = ask("tool", question, tools=[WEATHER], tool_choice="auto")
    call = answer.choices[0].message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "Paris"}))
    result = {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "Sunny"}
    answer = ask("tool", [*question, answer.choices[0].message, result], tools=[WEATHER])
    same(answer.choices[0].message.content, "The tool said: Sunny")


def structured():
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE, "strict": True}}
    same(json.loads(ask("json", response_format=form).choices[0].message.content), {"city": "Paris", "people": 7})


def image():
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"}]
    same(ask("see", [{"role": "user", "content": parts}]).choices[0].message.content, SEEN_PNG)


def think():
    parts = ask("think").choices[0].message.content
    same((parts[0].thinking[0].text, parts[1].text), (THOUGHTS, REPLY))


def errors():
    for what, status in (("error-429", 429), ("error-400", 400), ("error-401", 401)):
        try:
            ask(what)
            raise AssertionError(f"{what} raised nothing")
        except SDKError as error:
            same(error.status_code, status)


run({part.__name__: part for part in (text, streamed, tools, structured, image, think, errors)})
