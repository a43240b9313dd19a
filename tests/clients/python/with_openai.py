"""The official `openai` client: chat completions, responses, embeddings, moderations and legacy completions."""

import json

import openai
from openai import AzureOpenAI, OpenAI
from suite import BASE, CACHED, CITY, COUNTS_THOUGHTS, KEY, PDF, PLACE, PNG, REPLY, SAYS_WHEN, SEEN_PDF, SEEN_PNG, THOUGHTS, THROUGH, check, model, raises, run, same

client = OpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0)
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}
TIME = {"type": "function", "function": {"name": "time", "parameters": CITY}}
USER = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
PICTURE = f"data:image/png;base64,{PNG}"


def chat(what, messages=USER, **more):
    return client.chat.completions.create(model=model(what), messages=messages, **more)


def chat_text():
    answer = chat("text", temperature=0.5, top_p=0.9, max_tokens=100)
    same(answer.choices[0].message.content, REPLY)
    same(answer.choices[0].finish_reason, "stop")
    same((answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens), (20, 12, 32))
    if CACHED:
        same(answer.usage.prompt_tokens_details.cached_tokens, CACHED)
    same(chat("length").choices[0].finish_reason, "length")


def chat_stop():
    same(chat("text", stop=[" from"]).choices[0].message.content, "Hello")


def chat_filter():
    same(chat("filter").choices[0].finish_reason, "content_filter")


def streamed(what, **more):
    chunks = list(chat(what, stream=True, stream_options={"include_usage": True}, **more))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    return said, reasons, chunks


def chat_stream():
    for what in ("text", "text-crlf", "text-split", "text-comments", "text-no-done", "text-slow"):
        said, reasons, chunks = streamed(what)
        same((what, said, reasons), (what, REPLY, ["stop"]))
        check(sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) >= 2, "it came in one piece")
        usage = next(chunk.usage for chunk in reversed(chunks) if chunk.usage)
        same((usage.prompt_tokens, usage.completion_tokens), (20, 12))
    same(streamed("length")[1], ["length"])
    check(all(chunk.usage is None for chunk in chat("text", stream=True)), "usage that nobody asked for")


def chat_stream_broken():
    raises(openai.APIError, None, lambda: streamed("text-midstream-error"))
    try:
        streamed("text-cut")
    except Exception as error:
        # Directly it is the connection that ends; a gateway says it as an error of the API.
        check(not THROUGH or isinstance(error, openai.APIError), f"{type(error)}")
    else:
        raise AssertionError("a stream that was cut ended cleanly")


def chat_tools():
    question = [{"role": "user", "content": "Weather?"}]
    answer = chat("tool", question, tools=[WEATHER, TIME], tool_choice="auto")
    same(answer.choices[0].finish_reason, "tool_calls")
    call = answer.choices[0].message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "Paris"}))
    result = {"role": "tool", "tool_call_id": call.id, "content": "Sunny"}
    answer = chat("tool", [*question, answer.choices[0].message.model_dump(exclude_none=True), result], tools=[WEATHER, TIME])
    same(answer.choices[0].message.content, "The tool said: Sunny")


def chat_choice_named():
    chosen = chat("tool", tools=[WEATHER, TIME], tool_choice={"type": "function", "function": {"name": "time"}})
    same(chosen.choices[0].message.tool_calls[0].function.name, "time")


def chat_choice_none():
    same(chat("tool", tools=[WEATHER], tool_choice="none").choices[0].message.content, REPLY)


def chat_tools_parallel():
    question = [{"role": "user", "content": "Weather and time?"}]
    whole = chat("two-tools", question, tools=[WEATHER, TIME]).choices[0].message.tool_calls
    same([call.function.name for call in whole], ["weather", "time"])
    calls = {}
    for chunk in streamed("two-tools", messages=question, tools=[WEATHER, TIME])[2]:
        for piece in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            call = calls.setdefault(piece.index, {"id": None, "name": "", "arguments": ""})
            call["id"] = call["id"] or piece.id
            call["name"] += piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""
    calls = [calls[index] for index in sorted(calls)]
    same([(call["name"], json.loads(call["arguments"])) for call in calls], [("weather", {"city": "Paris"}), ("time", {"city": "Rome"})])
    check(len({call["id"] for call in calls}) == 2, "the calls have ids of their own")
    asked = [{"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}} for call in calls]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": said} for call, said in zip(calls, ("Sunny", "Noon"))]
    answer = chat("two-tools", [*question, {"role": "assistant", "tool_calls": asked}, *results], tools=[WEATHER, TIME])
    same(answer.choices[0].message.content, "The tool said: Sunny and Noon")


def chat_json():
    form = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": PLACE}}
    same(json.loads(chat("json", response_format=form).choices[0].message.content), {"city": "Paris", "people": 7})
    same(json.loads(streamed("json", response_format=form)[0]), {"city": "Paris", "people": 7})


def chat_json_object():
    same(json.loads(chat("json", response_format={"type": "json_object"}).choices[0].message.content), {"city": "Paris"})


def see(part):
    return chat("see", [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]).choices[0].message.content


def chat_image():
    same(see({"type": "image_url", "image_url": {"url": PICTURE}}), SEEN_PNG)


def chat_file():
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    same(see({"type": "file", "file": file}), SEEN_PDF)


def chat_think():
    answer = chat("think", reasoning_effort="low")
    same(answer.choices[0].message.content, REPLY)
    same(answer.usage.completion_tokens, 12)
    same(answer.usage.completion_tokens_details.reasoning_tokens, 5 if COUNTS_THOUGHTS else 0)


def chat_errors():
    error = raises(openai.RateLimitError, 429, lambda: chat("error-429"))
    same(error.response.headers.get("retry-after"), "7" if SAYS_WHEN else None)
    raises(openai.BadRequestError, 400, lambda: chat("error-400"))
    raises(openai.InternalServerError, None, lambda: chat("error-500"))
    raises(openai.InternalServerError, None, lambda: chat("error-529"))
    # The provider's refusal of the gateway's key is not the client's fault.
    raises(openai.InternalServerError if THROUGH else openai.AuthenticationError, None, lambda: chat("error-401"))
    raises(openai.RateLimitError, 429, lambda: chat("error-429", stream=True))
    stranger = OpenAI(base_url=f"{BASE}/v1", api_key="lethe_wrong", max_retries=0)
    raises(openai.AuthenticationError, 401, lambda: stranger.chat.completions.create(model=model("text"), messages=USER))
    raises(openai.BadRequestError, 400, lambda: chat("text", extra_body={"no_such_field": 1}))
    raises(openai.BadRequestError, 400, lambda: chat("text", [{"role": "user", "content": 7}]))


FUNCTION = {"type": "function", "name": "weather", "description": "The weather.", "parameters": CITY, "strict": True}


def respond(what, given="Hello", **more):
    return client.responses.create(model=model(what), input=given, store=False, **more)


def responses_text():
    answer = respond("text", instructions="Be brief.", max_output_tokens=100, temperature=0.5)
    same((answer.output_text, answer.status), (REPLY, "completed"))
    same((answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens), (20, 12, 32))
    if CACHED:
        same(answer.usage.input_tokens_details.cached_tokens, CACHED)
    answer = respond("length")
    same((answer.status, answer.incomplete_details.reason), ("incomplete", "max_output_tokens"))


def responses_stream():
    for what in ("text", "text-crlf", "text-split", "text-comments"):
        with client.responses.stream(model=model(what), input="Hello", store=False) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        same((what, final.output_text, final.usage.output_tokens), (what, REPLY, 12))
        same((kinds[0], kinds[-1]), ("response.created", "response.completed"))
        for kind in ("output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done"):
            check(f"response.{kind}" in kinds, f"{kind} is not among {kinds}")
    # This client raises for the event `error`, which a gateway sends as well, and hands `response.failed` on as an event.
    kinds = []
    try:
        for event in client.responses.create(model=model("text-midstream-error"), input="Hello", store=False, stream=True):
            kinds.append(event.type)
    except openai.APIError:
        check(THROUGH, "raised by a provider that sends no such event")
        kinds.append("response.failed")
    check("response.output_text.delta" in kinds and "response.failed" in kinds and "response.completed" not in kinds, kinds)


def responses_tools():
    question = [{"role": "user", "content": "Weather?"}]
    answer = respond("tool", question, tools=[FUNCTION])
    call = next(item for item in answer.output if item.type == "function_call")
    same((call.name, json.loads(call.arguments)), ("weather", {"city": "Paris"}))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    given = [*question, *(item.model_dump(exclude_none=True) for item in answer.output), result]
    same(respond("tool", given, tools=[FUNCTION]).output_text, "The tool said: Sunny")
    with client.responses.stream(model=model("tool"), input=question, store=False, tools=[FUNCTION]) as stream:
        done = [event for event in stream if event.type == "response.function_call_arguments.done"]
    same([json.loads(event.arguments) for event in done], [{"city": "Paris"}])


def responses_json():
    form = {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": PLACE}}
    same(json.loads(respond("json", text=form).output_text), {"city": "Paris", "people": 7})


def responses_image():
    parts = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PICTURE, "detail": "auto"}]
    same(respond("see", [{"role": "user", "content": parts}]).output_text, SEEN_PNG)


def responses_think():
    """Thoughts come encrypted and are given back, so that nobody has to keep them."""
    more = {"tools": [FUNCTION], "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    question = [{"role": "user", "content": "Weather?"}]
    answer = respond("think-tool", question, **more)
    thoughts = answer.output[0]
    same((thoughts.type, thoughts.summary[0].text), ("reasoning", THOUGHTS))
    # Gemini signs the call and not the thoughts before it: then it is in an item of its own before the call.
    check(any(item.type == "reasoning" and item.encrypted_content for item in answer.output), "no encrypted content")
    same(answer.usage.output_tokens_details.reasoning_tokens, 5 if COUNTS_THOUGHTS else 0)
    call = next(item for item in answer.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    given = [*question, *(item.model_dump(exclude_none=True) for item in answer.output), result]
    same(respond("think-tool", given, **more).output_text, "The tool said: Sunny")


def responses_errors():
    raises(openai.RateLimitError, 429, lambda: respond("error-429"))
    raises(openai.BadRequestError, 400, lambda: respond("error-400"))
    raises(openai.InternalServerError, None, lambda: respond("error-500"))
    raises(openai.BadRequestError, 400, lambda: respond("text", extra_body={"no_such_field": 1}))
    raises(openai.BadRequestError if THROUGH else openai.NotFoundError, None, lambda: respond("text", previous_response_id="resp_1"))


def embeddings():
    answer = client.embeddings.create(model=model("embed"), input=["a", "b"])
    same([list(item.embedding) for item in answer.data], [[0.25, -0.5, 1.0]] * 2)
    answer = client.embeddings.create(model=model("embed"), input="a", encoding_format="float", dimensions=2)
    same(answer.data[0].embedding, [0.25, -0.5])


def moderations():
    answer = client.moderations.create(model=model("moderation"), input=["peace", "violence"])
    same([result.flagged for result in answer.results], [False, True])
    check(answer.results[1].categories.violence, answer)


def completions():
    same(client.completions.create(model=model("text"), prompt="Hello", max_tokens=16).choices[0].text, REPLY)
    pieces = client.completions.create(model=model("text"), prompt="Hello", stream=True)
    same("".join(piece.choices[0].text for piece in pieces if piece.choices), REPLY)


def azure():
    """The same bodies at Azure: another path, another header, and a first chunk without choices."""
    there = AzureOpenAI(azure_endpoint=BASE, api_key=KEY, api_version="2024-10-21", max_retries=0)
    answer = there.chat.completions.create(model=model("text"), messages=USER)
    same(answer.choices[0].message.content, REPLY)
    chunks = list(there.chat.completions.create(model=model("text"), messages=USER, stream=True))
    same((chunks[0].choices, "".join(chunk.choices[0].delta.content or "" for chunk in chunks[1:])), ([], REPLY))
    raises(openai.RateLimitError, 429, lambda: there.chat.completions.create(model=model("error-429"), messages=USER))
    stranger = AzureOpenAI(azure_endpoint=BASE, api_key="wrong", api_version="2024-10-21", max_retries=0)
    raises(openai.AuthenticationError, 401, lambda: stranger.chat.completions.create(model=model("text"), messages=USER))


def one_call():
    """One call at a time, of a provider that cannot be told so and makes two."""
    more = {"messages": [{"role": "user", "content": "Weather and time?"}], "tools": [WEATHER, TIME]}
    same([call.function.name for call in chat("two-tools", **more).choices[0].message.tool_calls], ["weather", "time"])
    answer = chat("two-tools", parallel_tool_calls=False, **more).choices[0]
    same(([call.function.name for call in answer.message.tool_calls], answer.finish_reason), (["weather"], "tool_calls"))
    chunks = streamed("two-tools", parallel_tool_calls=False, **more)[2]
    pieces = [piece for chunk in chunks if chunk.choices for piece in chunk.choices[0].delta.tool_calls or []]
    same({piece.index for piece in pieces}, {0})
    same(json.loads("".join(piece.function.arguments or "" for piece in pieces)), {"city": "Paris"})


run({name: part for name, part in list(globals().items()) if name.startswith(("chat_", "responses_")) or name in ("azure", "embeddings", "moderations", "completions") or THROUGH and name == "one_call"})
