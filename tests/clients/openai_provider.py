"""The official OpenAI client against Lethe with a scripted provider behind it."""

import openai
from openai import OpenAI

client = OpenAI(max_retries=0)
checks = 0


def check(condition, what):
    global checks
    assert condition, what
    checks += 1


def raises(kind, code, **request):
    try:
        client.chat.completions.create(**({"model": "ok", "messages": [{"role": "user", "content": "Hello"}]} | request))
    except kind as error:
        check(type(error) is kind, f"{type(error)} instead of {kind}")
        check(error.code == code, f"{error.code} instead of {code}")
        return error
    raise AssertionError(f"{request} raised nothing")


def stream(model, **more):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], stream=True, **more)


REPLY = "Hello from the provider."
WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]

# Chat.
answer = client.chat.completions.create(model="ok", messages=[{"role": "user", "content": "Hello"}], temperature=0.5)
check(answer.choices[0].message.content == REPLY, answer)
check(answer.usage.total_tokens == 21, answer.usage)

# Stream; usage only for those who ask.
chunks = list(stream("ok"))
check("".join(chunk.choices[0].delta.content or "" for chunk in chunks) == REPLY, chunks)
check(all(chunk.usage is None for chunk in chunks), chunks)
chunks = list(stream("ok", stream_options={"include_usage": True}))
check(chunks[-1].usage.completion_tokens == 12 and chunks[-1].choices == [], chunks[-1])

# Tools pass through.
answer = client.chat.completions.create(model="ok", messages=[{"role": "user", "content": "Weather?"}], tools=WEATHER, tool_choice="auto")
call = answer.choices[0].message.tool_calls[0]
check((call.function.name, call.function.arguments) == ("weather", '{"city":"Paris"}'), call)
answer = client.chat.completions.create(
    model="ok",
    messages=[
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny"},
    ],
)
check(answer.choices[0].message.content == REPLY, answer)
arguments = "".join(
    tool.function.arguments or "" for chunk in stream("ok", tools=WEATHER) for tool in (chunk.choices[0].delta.tool_calls or [])
)
check(arguments == '{"city":"Paris"}', arguments)

# Embeddings (the client asks for base64 by itself and takes floats as well) and models.
answer = client.embeddings.create(model="ok-embed", input=["a", "b"], encoding_format="float")
check([item.embedding for item in answer.data] == [[0.25, -0.5, 1.0]] * 2, answer)
check("ok" in [model.id for model in client.models.list()], "models")
check(client.models.retrieve("ok").id == "ok", "model")

# Errors as the client's own classes.
raises(openai.BadRequestError, "zero_retention_conflict", store=True)
raises(openai.BadRequestError, "zero_retention_conflict", metadata={"a": "b"})
raises(openai.BadRequestError, "unknown_field", extra_body={"persist": True})
raises(openai.NotFoundError, "model_not_found", model="none-such")
raises(openai.InternalServerError, "provider_unauthorized", model="e401")
raises(openai.RateLimitError, "limit", model="e429")
raises(openai.InternalServerError, "provider_malformed", model="html")
raises(openai.BadRequestError, "invalid_prompt", model="error-echo")
try:
    OpenAI(api_key="lethe_wrong", max_retries=0).models.list()
    raise AssertionError("a wrong key was taken")
except openai.AuthenticationError as error:
    check(error.code == "invalid_api_key", error)
for broken in ("cut-stream", "bad-sse-json", "error-event"):
    try:
        list(stream(broken))
        raise AssertionError(f"{broken} ended cleanly")
    except openai.APIError as error:
        check(type(error) is openai.APIError, type(error))
for refused in (lambda: client.files.list(), lambda: client.batches.list()):
    try:
        refused()
        raise AssertionError("something is kept")
    except openai.BadRequestError as error:
        check(error.code == "zero_retention_conflict", error)

print(f"{checks} checks passed")
