"""The official OpenAI client against Lethe with the embedded engine."""

import openai
from openai import OpenAI

client = OpenAI(max_retries=0)
MODEL = "smollm2-135m-instruct"
checks = 0


def check(condition, what):
    global checks
    assert condition, what
    checks += 1


def ask(**more):
    messages = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
    return client.chat.completions.create(**({"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 24} | more))


answer = ask()
text = answer.choices[0].message.content
check("Paris" in text, text)
check(answer.choices[0].finish_reason in ("stop", "length"), answer)
check(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, answer.usage)
chunks = list(ask(stream=True, stream_options={"include_usage": True}))
check("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text, chunks)
check(chunks[-1].usage == answer.usage, chunks[-1])
check(ask(stop=["Paris"]).choices[0].message.content in text, "stop")
check(ask(max_tokens=2).usage.completion_tokens == 2, "max_tokens")
check(ask(temperature=1, seed=3).choices[0].message.content == ask(temperature=1, seed=3).choices[0].message.content, "seed")
check([model.id for model in client.models.list()] == [MODEL], "models")
for request, field in (({"n": 2}, "n"), ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools")):
    try:
        ask(**request)
        raise AssertionError(f"{field} was taken")
    except openai.BadRequestError as error:
        check(error.param == field, error)
try:
    client.embeddings.create(model=MODEL, input="a")
    raise AssertionError("embeddings of a model that has none")
except openai.BadRequestError as error:
    check(error.code == "unsupported_operation", error)

print(f"{checks} checks passed")
