"""The official `openai` client over WebSocket: responses, one after the other on one connection."""

import json

import openai
import websockets.exceptions
from suite import BASE, CITY, KEY, REPLY, check, model, raises, run, same

client = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0)
FUNCTION = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


def ask(connection, what, given="Hello", **more):
    """Every event of one answer."""
    connection.response.create(model=model(what), input=given, **{"store": False, **more})
    events = []
    while not events or events[-1].type not in ENDS:
        events.append(connection.recv())
    return events


def said(events):
    return events[-1].response.output_text


def text():
    with client.responses.connect() as connection:
        for what in ("text", "text-crlf", "text-split", "text-comments", "length"):
            events = ask(connection, what)
            kinds = [event.type for event in events]
            same((what, kinds[0], kinds[-1]), (what, "response.created", "response.incomplete" if what == "length" else "response.completed"))
            check("response.output_text.delta" in kinds and "response.output_item.done" in kinds, kinds)
            check(what == "length" or said(events) == REPLY, events[-1])
            same([event.sequence_number for event in events], list(range(len(events))))


def tools():
    """The items of the conversation go back and forth whole, on one connection."""
    with client.responses.connect() as connection:
        question = [{"role": "user", "content": "Weather?"}]
        answer = ask(connection, "tool", question, tools=[FUNCTION])[-1].response
        call = next(item for item in answer.output if item.type == "function_call")
        same((call.name, json.loads(call.arguments)), ("weather", {"city": "Paris"}))
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
        given = [*question, *(item.model_dump(exclude_none=True) for item in answer.output), result]
        same(said(ask(connection, "tool", given, tools=[FUNCTION])), "The tool said: Sunny")


def errors():
    """An error is an event, and the connection goes on after it."""
    with client.responses.connect() as connection:
        for what, more, status, code in (
            ("text", {"previous_response_id": "resp_1"}, 400, "zero_retention_conflict"),
            ("text", {"generate": False}, 400, "zero_retention_conflict"),
            ("text", {"background": True}, 400, "zero_retention_conflict"),
            ("text", {"store": True}, 400, "zero_retention_conflict"),
            ("text", {"stream_id": "a"}, 400, "wrong_type"),
            ("no-such-model", {}, 404, "model_not_found"),
            ("error-400", {}, 400, None),
            ("error-429", {}, 429, None),
            ("error-500", {}, None, None),
        ):
            error = ask(connection, what, **more)[-1]
            check(error.type == "error" and error.error.message, error)
            check(status is None or error.status == status, error)
            check(code is None or error.error.code == code, error)
            same(said(ask(connection, "text")), REPLY)
        for what in ("text-midstream-error", "text-cut"):
            kinds = [event.type for event in ask(connection, what)]
            check("response.output_text.delta" in kinds and kinds[-1] in ("error", "response.failed"), kinds)
            same(said(ask(connection, "text")), REPLY)
        connection.send({"type": "response.steer", "previous_response_id": "resp_1", "input": "Stop"})
        same(connection.recv().error.code, "zero_retention_conflict")


def handshakes():
    stranger = openai.OpenAI(base_url=f"{BASE}/v1", api_key="lethe_wrong", max_retries=0)
    try:
        with stranger.responses.connect() as connection:
            connection.recv()
    except websockets.exceptions.InvalidStatus as error:
        same(error.response.status_code, 401)
    except openai.APIStatusError as error:
        same(error.status_code, 401)


run({"text": text, "tools": tools, "errors": errors, "handshakes": handshakes})
