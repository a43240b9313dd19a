"""The official `ollama` client: chat and embed."""

import base64
import json

from ollama import Client, ResponseError
from suite import BASE, CITY, PLACE, PNG, REPLY, SEEN_PNG, THOUGHTS, model, run, same

client = Client(host=BASE)
USER = [{"role": "user", "content": "Hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}


def ask(what, messages=USER, **more):
    return client.chat(model=model(what), messages=messages, **more)


def text():
    answer = ask("text", options={"num_predict": 100, "temperature": 0.5})
    same((answer.message.content, answer.done_reason, answer.prompt_eval_count, answer.eval_count), (REPLY, "stop", 20, 12))


def streamed():
    for what in ("text", "text-split"):
        pieces = list(ask(what, stream=True))
        same(("".join(piece.message.content for piece in pieces), pieces[-1].done), (REPLY, True))


def tools():
    question = [{"role": "user", "content": "Weather?"}]
    answer = ask("tool", question, tools=[WEATHER])
    call = answer.message.tool_calls[0]
    same((call.function.name, call.function.arguments), ("weather", {"city": "Paris"}))
    result = {"role": "tool", "tool_name": "weather", "content": "Sunny"}
    same(ask("tool", [*question, answer.message, result], tools=[WEATHER]).message.content, "The tool said: Sunny")


def structured():
    same(json.loads(ask("json", format=PLACE).message.content), {"city": "Paris", "people": 7})


def image():
    picture = {"role": "user", "content": "What is it?", "images": [base64.b64decode(PNG)]}
    same(ask("see", [picture]).message.content, SEEN_PNG)


def think():
    answer = ask("think", think=True)
    same((answer.message.thinking, answer.message.content), (THOUGHTS, REPLY))


def embed():
    same(client.embed(model=model("embed"), input=["a", "b"]).embeddings, [[0.25, -0.5, 1.0]] * 2)


def errors():
    for what, status in (("error-429", 429), ("error-400", 400), ("error-500", 500)):
        try:
            ask(what)
            raise AssertionError(f"{what} raised nothing")
        except ResponseError as error:
            same(error.status_code, status)


run({part.__name__: part for part in (text, streamed, tools, structured, image, think, embed, errors)})
