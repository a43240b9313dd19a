"""The official `anthropic` client: messages and count_tokens."""

import json

import anthropic
from anthropic import Anthropic, AnthropicVertex
from suite import BASE, CACHED, CITY, KEY, PDF, PLACE, PNG, REPLY, SEEN_PDF, SEEN_PNG, THOUGHTS, THROUGH, check, model, raises, run, same

client = Anthropic(base_url=BASE, api_key=KEY, max_retries=0)
USER = [{"role": "user", "content": "Hello"}]
WEATHER = {"name": "weather", "description": "The weather.", "input_schema": CITY}
TIME = {"name": "time", "input_schema": CITY}
BUDGET = {"type": "enabled", "budget_tokens": 1024}


def ask(what, messages=USER, **more):
    return client.messages.create(**({"model": model(what), "max_tokens": 100, "messages": messages} | more))


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def stream(what, messages=USER, **more):
    with client.messages.stream(**({"model": model(what), "max_tokens": 100, "messages": messages} | more)) as events:
        kinds = [event.type for event in events]
        return events.get_final_message(), kinds


def text():
    answer = ask("text", system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}])
    same((text_of(answer), answer.stop_reason), (REPLY, "end_turn"))
    same((answer.usage.input_tokens, answer.usage.cache_read_input_tokens or 0), (20 - CACHED, CACHED))
    same(answer.usage.output_tokens, 12)
    same(ask("length").stop_reason, "max_tokens")


def stop():
    answer = ask("text", stop_sequences=[" from"])
    same(text_of(answer), "Hello")
    check(answer.stop_reason in ("stop_sequence", "end_turn"), answer)


def filter_():
    same(ask("filter").stop_reason, "refusal")


def streamed():
    for what in ("text", "text-crlf", "text-split", "text-comments", "text-no-done", "text-slow"):
        answer, kinds = stream(what)
        same((what, text_of(answer), answer.stop_reason), (what, REPLY, "end_turn"))
        same((answer.usage.input_tokens, answer.usage.output_tokens), (20 - CACHED, 12))
        same(kinds[0], "message_start")
        for kind in ("content_block_start", "content_block_delta", "content_block_stop", "message_delta"):
            check(kind in kinds, f"{kind} is not among {kinds}")


def stream_broken():
    for what in ("text-midstream-error", "text-cut"):
        try:
            stream(what)
        except Exception as error:
            # Directly it is the connection that ends in a cut; a gateway says it as an error of the API.
            by_the_api = THROUGH or "cut" not in what
            check(not by_the_api or isinstance(error, anthropic.APIError), f"{what}: {type(error)}: {error}")
        else:
            raise AssertionError(f"{what} ended cleanly")


def tools():
    question = [{"role": "user", "content": "Weather?"}]
    answer = ask("tool", question, tools=[WEATHER, TIME], tool_choice={"type": "auto"})
    same(answer.stop_reason, "tool_use")
    call = next(block for block in answer.content if block.type == "tool_use")
    same((call.name, call.input), ("weather", {"city": "Paris"}))
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Sunny"}]}
    given = [*question, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    same(text_of(ask("tool", given, tools=[WEATHER, TIME])), "The tool said: Sunny")


def choice_named():
    chosen = ask("tool", tools=[WEATHER, TIME], tool_choice={"type": "tool", "name": "time"})
    same(next(block for block in chosen.content if block.type == "tool_use").name, "time")


def tools_parallel():
    question = [{"role": "user", "content": "Weather and time?"}]
    answer, _ = stream("two-tools", question, tools=[WEATHER, TIME])
    calls = [block for block in answer.content if block.type == "tool_use"]
    same([(call.name, call.input) for call in calls], [("weather", {"city": "Paris"}), ("time", {"city": "Rome"})])
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": said} for call, said in zip(calls, ("Sunny", "Noon"))]
    given = [*question, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    same(text_of(ask("two-tools", given, tools=[WEATHER, TIME])), "The tool said: Sunny and Noon")


def structured():
    answer = ask("json", output_config={"format": {"type": "json_schema", "schema": PLACE}})
    same(json.loads(text_of(answer)), {"city": "Paris", "people": 7})


def see(block):
    return text_of(ask("see", [{"role": "user", "content": [block, {"type": "text", "text": "What is it?"}]}]))


def image():
    same(see({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}), SEEN_PNG)


def document():
    same(see({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}), SEEN_PDF)


def think():
    """Thoughts come with a signature and are given back with it."""
    question = [{"role": "user", "content": "Weather?"}]
    more = {"tools": [WEATHER], "thinking": BUDGET, "max_tokens": 2048}
    for answer in (ask("think-tool", question, **more), stream("think-tool", question, **more)[0]):
        same((answer.content[0].type, answer.content[0].thinking), ("thinking", THOUGHTS))
        # Gemini signs the call and not the thoughts before it: then the signature is in a block of its own before the call.
        check(answer.content[0].signature or answer.content[1].type == "redacted_thinking", "no signature")
        same(answer.usage.output_tokens, 12)
        call = next(block for block in answer.content if block.type == "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny"}
        given = [*question, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
        same(text_of(ask("think-tool", given, **more)), "The tool said: Sunny")


def count():
    same(client.messages.count_tokens(model=model("text"), messages=USER).input_tokens, 20)


def errors():
    error = raises(anthropic.RateLimitError, 429, lambda: ask("error-429"))
    same((error.body["type"], error.body["error"]["type"]), ("error", "rate_limit_error"))
    raises(anthropic.BadRequestError, 400, lambda: ask("error-400"))
    for what in ("error-500", "error-529"):
        try:
            ask(what)
            raise AssertionError(f"{what} raised nothing")
        except anthropic.InternalServerError as error:
            check(error.body["type"] == "error", error)
    if THROUGH:
        raises(anthropic.InternalServerError, None, lambda: ask("error-401"))
    else:
        raises(anthropic.AuthenticationError, 401, lambda: ask("error-401"))
    stranger = Anthropic(base_url=BASE, api_key="lethe_wrong", max_retries=0)
    raises(anthropic.AuthenticationError, 401, lambda: stranger.messages.create(model=model("text"), max_tokens=9, messages=USER))
    raises(anthropic.BadRequestError, 400, lambda: ask("text", extra_body={"no_such_field": 1}))
    raises(anthropic.BadRequestError, 400, lambda: ask("text", [{"role": "user", "content": 7}]))


def vertex():
    """The same bodies at Vertex: the model in the path, the version in the body, a token instead of a key."""
    there = AnthropicVertex(base_url=f"{BASE}/v1", project_id="project", region="eu", access_token=KEY, max_retries=0)
    same(text_of(there.messages.create(model=model("text"), max_tokens=100, messages=USER)), REPLY)
    with there.messages.stream(model=model("text"), max_tokens=100, messages=USER) as events:
        same(text_of(events.get_final_message()), REPLY)
    raises(anthropic.RateLimitError, 429, lambda: there.messages.create(model=model("error-429"), max_tokens=9, messages=USER))


run({part.__name__: part for part in (text, stop, filter_, streamed, stream_broken, tools, choice_named, tools_parallel, structured, image, document, think, count, errors, vertex)})
