"""The official `google-genai` client: generateContent, its streams, countTokens, embeddings and the list of models."""

import base64
import json

from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from suite import BASE, CACHED, CITY, COUNTS_THOUGHTS, KEY, PDF, PLACE, PNG, REPLY, SEEN_PDF, SEEN_PNG, THOUGHTS, THROUGH, check, model, raises, run, same


def client_with(key):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=BASE, api_version="v1beta"))


client = client_with(KEY)
WEATHER = types.FunctionDeclaration(name="weather", description="The weather.", parameters_json_schema=CITY)
TIME = types.FunctionDeclaration(
    name="time", parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"])
)


def config(**more):
    return types.GenerateContentConfig(automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **more)


def ask(what, contents="Hello", **more):
    return client.models.generate_content(model=model(what), contents=contents, config=config(**more))


def stream(what, contents="Hello", **more):
    return list(client.models.generate_content_stream(model=model(what), contents=contents, config=config(**more)))


def user(*parts):
    return types.Content(role="user", parts=[types.Part(text=part) if isinstance(part, str) else part for part in parts])


def text():
    answer = ask("text", system_instruction="Be brief.", temperature=0.5, top_p=0.9, max_output_tokens=100)
    same((answer.text, answer.candidates[0].finish_reason), (REPLY, types.FinishReason.STOP))
    usage = answer.usage_metadata
    same((usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count), (20, 12, 32))
    same(usage.cached_content_token_count or 0, CACHED)
    same(ask("length").candidates[0].finish_reason, types.FinishReason.MAX_TOKENS)


def stop():
    same(ask("text", stop_sequences=[" from"]).text, "Hello")


def filter_():
    same(ask("filter").candidates[0].finish_reason, types.FinishReason.SAFETY)


def streamed():
    for what in ("text", "text-crlf", "text-split", "text-slow"):
        chunks = stream(what)
        same((what, "".join(chunk.text or "" for chunk in chunks)), (what, REPLY))
        check(len(chunks) >= 2, "it came in one piece")
        same(chunks[-1].usage_metadata.candidates_token_count, 12)
        same([c.candidates[0].finish_reason for c in chunks if c.candidates and c.candidates[0].finish_reason], [types.FinishReason.STOP])


def stream_broken():
    for what in ("text-midstream-error", "text-cut"):
        try:
            chunks = stream(what)
        except Exception as error:
            check(not THROUGH or isinstance(error, errors.APIError), f"{what}: {type(error)}: {error}")
        else:
            # This client does not look into an event for an error: then the finish reason is missing.
            reasons = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
            check(not any(reasons), f"{what} ended cleanly: {chunks}")


def tools():
    question = user("Weather?")
    both = [types.Tool(function_declarations=[WEATHER, TIME])]
    answer = ask("tool", [question], tools=both)
    call = answer.function_calls[0]
    same((call.name, call.args), ("weather", {"city": "Paris"}))
    result = types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": "Sunny"}))
    same(ask("tool", [question, answer.candidates[0].content, user(result)], tools=both).text, "The tool said: Sunny")


def choice_named():
    both = [types.Tool(function_declarations=[WEATHER, TIME])]
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["time"])
    chosen = ask("tool", tools=both, tool_config=types.ToolConfig(function_calling_config=calling))
    same(chosen.function_calls[0].name, "time")


def tools_parallel():
    question = user("Weather and time?")
    both = [types.Tool(function_declarations=[WEATHER, TIME])]
    chunks = stream("two-tools", [question], tools=both)
    said = [part for chunk in chunks for part in (chunk.candidates[0].content.parts or []) if part.function_call]
    same([(part.function_call.name, part.function_call.args) for part in said], [("weather", {"city": "Paris"}), ("time", {"city": "Rome"})])
    results = [
        types.Part(function_response=types.FunctionResponse(id=part.function_call.id, name=part.function_call.name, response={"result": word}))
        for part, word in zip(said, ("Sunny", "Noon"))
    ]
    answer = ask("two-tools", [question, types.Content(role="model", parts=said), user(*results)], tools=both)
    same(answer.text, "The tool said: Sunny and Noon")


def structured():
    answer = ask("json", response_mime_type="application/json", response_json_schema=PLACE)
    same(json.loads(answer.text), {"city": "Paris", "people": 7})
    schema = types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"])
    same(json.loads(ask("json", response_mime_type="application/json", response_schema=schema).text), {"city": "Paris"})


def image():
    part = types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    same(ask("see", [user("What is it?", part)]).text, SEEN_PNG)


def document():
    part = types.Part.from_bytes(data=base64.b64decode(PDF), mime_type="application/pdf")
    same(ask("see", [user("What is it?", part)]).text, SEEN_PDF)


def think():
    """Thoughts come with a signature and are given back with it."""
    question = user("Weather?")
    more = {"tools": [types.Tool(function_declarations=[WEATHER])], "thinking_config": types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)}
    answer = ask("think-tool", [question], **more)
    parts = answer.candidates[0].content.parts
    same((parts[0].thought, parts[0].text), (True, THOUGHTS))
    check(any(part.thought_signature for part in parts), "no signature")
    counts = (answer.usage_metadata.thoughts_token_count, answer.usage_metadata.candidates_token_count)
    same(counts, (5, 7) if COUNTS_THOUGHTS else (None, 12))
    result = types.Part(function_response=types.FunctionResponse(name="weather", response={"result": "Sunny"}))
    again = ask("think-tool", [question, answer.candidates[0].content, user(result)], **more)
    same("".join(part.text for part in again.candidates[0].content.parts if not part.thought), "The tool said: Sunny")


def count():
    same(client.models.count_tokens(model=model("text"), contents="Hello").total_tokens, 20)


def embed():
    answer = client.models.embed_content(model=model("embed"), contents=["a", "b"])
    same([item.values for item in answer.embeddings], [[0.25, -0.5, 1.0]] * 2)
    answer = client.models.embed_content(model=model("embed"), contents="a", config=types.EmbedContentConfig(output_dimensionality=2))
    same(answer.embeddings[0].values, [0.25, -0.5])


def models():
    check(any(found.name.endswith(model("text")) for found in client.models.list()), "the model is not in the list")


def failures():
    error = raises(errors.ClientError, 429, lambda: ask("error-429"))
    same(error.status, "RESOURCE_EXHAUSTED")
    same(raises(errors.ClientError, 400, lambda: ask("error-400")).status, "INVALID_ARGUMENT")
    raises(errors.ServerError, None, lambda: ask("error-500"))
    raises(errors.ServerError, None, lambda: ask("error-529"))
    raises(errors.ServerError if THROUGH else errors.ClientError, None, lambda: ask("error-401"))
    raises(errors.ClientError, None, lambda: stream("error-429"))
    stranger = client_with("lethe_wrong")
    raises(errors.ClientError, None, lambda: stranger.models.generate_content(model=model("text"), contents="Hello"))
    more = types.HttpOptions(extra_body={"noSuchField": 1})
    raises(errors.ClientError, 400, lambda: ask("text", http_options=more))


def vertex():
    """The same bodies at Vertex: another path, and a token instead of a key."""
    options = types.HttpOptions(base_url=BASE, api_version="v1")
    there = genai.Client(vertexai=True, project="project", location="eu", credentials=Credentials(token=KEY), http_options=options)
    same(there.models.generate_content(model=model("text"), contents="Hello").text, REPLY)
    chunks = there.models.generate_content_stream(model=model("text"), contents="Hello")
    same("".join(chunk.text or "" for chunk in chunks), REPLY)
    same(there.models.embed_content(model=model("embed"), contents="a").embeddings[0].values, [0.25, -0.5, 1.0])


run({part.__name__: part for part in (text, stop, filter_, streamed, stream_broken, tools, choice_named, tools_parallel, structured, image, document, think, count, embed, models, failures, vertex)})
