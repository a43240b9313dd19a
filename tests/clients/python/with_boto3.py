"""AWS's own `boto3` on Bedrock: Converse and ConverseStream. It signs, and checks every frame's checksums."""

import base64
import json
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from suite import BASE, CITY, PDF, PLACE, PNG, REPLY, SEEN_PDF, SEEN_PNG, THOUGHTS, check, model, run, same

SETTINGS = Config(retries={"total_max_attempts": 1})


def client_with(secret):
    return boto3.client(
        "bedrock-runtime", endpoint_url=BASE, region_name="eu-central-1", aws_access_key_id=os.environ["CLIENT_KEY"], aws_secret_access_key=secret, config=SETTINGS
    )


client = client_with(os.environ["CLIENT_SECRET"])
USER = [{"role": "user", "content": [{"text": "Hello"}]}]
TOOLS = {"tools": [{"toolSpec": {"name": name, "description": "It.", "inputSchema": {"json": CITY}}} for name in ("weather", "time")]}


def ask(what, messages=USER, **more):
    return client.converse(modelId=model(what), messages=messages, **more)


def said(answer):
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def stream(what, messages=USER, **more):
    events = list(client.converse_stream(modelId=model(what), messages=messages, **more)["stream"])
    return [(kind, value) for event in events for kind, value in event.items()]


def text():
    answer = ask("text", system=[{"text": "Be brief."}], inferenceConfig={"maxTokens": 100, "temperature": 0.5})
    same((said(answer), answer["stopReason"]), (REPLY, "end_turn"))
    same((answer["usage"]["inputTokens"], answer["usage"]["cacheReadInputTokens"], answer["usage"]["outputTokens"]), (16, 4, 12))
    # A version in the model's name is encoded in the path, and once more in what is signed.
    same(said(ask("text:0")), REPLY)


def streamed():
    for what in ("text", "text-split"):
        events = stream(what)
        same("".join(value["delta"].get("text", "") for kind, value in events if kind == "contentBlockDelta"), REPLY)
        same([events[0][0], events[-2][0], events[-1][0]], ["messageStart", "messageStop", "metadata"])
    try:
        stream("text-midstream-error")
        raise AssertionError("an error in the middle of a stream was not seen")
    except EventStreamError as error:
        check("modelStreamErrorException" in str(error), error)


def tools():
    question = [{"role": "user", "content": [{"text": "Weather?"}]}]
    answer = ask("two-tools", question, toolConfig=TOOLS)
    same(answer["stopReason"], "tool_use")
    calls = [block["toolUse"] for block in answer["output"]["message"]["content"]]
    same([(call["name"], call["input"]) for call in calls], [("weather", {"city": "Paris"}), ("time", {"city": "Rome"})])
    results = [
        {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": word}]}} for call, word in zip(calls, ("Sunny", "Noon"))
    ]
    given = [*question, answer["output"]["message"], {"role": "user", "content": results}]
    same(said(ask("two-tools", given, toolConfig=TOOLS)), "The tool said: Sunny and Noon")
    pieces = [value["delta"]["toolUse"]["input"] for kind, value in stream("tool", question, toolConfig=TOOLS) if kind == "contentBlockDelta"]
    same(json.loads("".join(pieces)), {"city": "Paris"})


def structured():
    form = {"type": "json_schema", "structure": {"jsonSchema": {"name": "place", "schema": json.dumps(PLACE)}}}
    same(json.loads(said(ask("json", outputConfig={"textFormat": form}))), {"city": "Paris", "people": 7})


def media():
    image = {"image": {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}}
    same(said(ask("see", [{"role": "user", "content": [image, {"text": "What is it?"}]}])), SEEN_PNG)
    document = {"document": {"format": "pdf", "name": "a", "source": {"bytes": base64.b64decode(PDF)}}}
    same(said(ask("see", [{"role": "user", "content": [document, {"text": "What is it?"}]}])), SEEN_PDF)


def think():
    answer = ask("think")
    thoughts = answer["output"]["message"]["content"][0]["reasoningContent"]["reasoningText"]
    same(thoughts["text"], THOUGHTS)
    given = [*USER, answer["output"]["message"], *USER]
    same(said(ask("think", given)), REPLY)


def errors():
    for what, kind in (("error-429", "ThrottlingException"), ("error-400", "ValidationException"), ("error-500", "InternalServerException")):
        try:
            ask(what)
            raise AssertionError(f"{what} raised nothing")
        except ClientError as error:
            same(error.response["Error"]["Code"], kind)
    try:
        client_with("another").converse(modelId=model("text"), messages=USER)
        raise AssertionError("a wrong signature was taken")
    except ClientError as error:
        same(error.response["Error"]["Code"], "AccessDeniedException")


run({part.__name__: part for part in (text, streamed, tools, structured, media, think, errors)})
