"""`langchain-openai`: its chat model on chat completions and on responses, and its embeddings."""

import openai
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from suite import BASE, CACHED, CITY, KEY, PLACE, PNG, REPLY, SEEN_PNG, check, model, run, same

ASK = [SystemMessage("Be brief."), HumanMessage("Hello")]
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}


def chat(what, **more):
    return ChatOpenAI(model=model(what), base_url=f"{BASE}/v1", api_key=KEY, max_retries=0, **more)


def conversation(**more):
    answer = chat("text", temperature=0.5, **more).invoke(ASK)
    same(answer.text, REPLY)
    same((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (20, 12))
    if CACHED:
        same(answer.usage_metadata["input_token_details"]["cache_read"], CACHED)
    whole = None
    pieces = list(chat("text-split", stream_usage=True, **more).stream(ASK))
    for piece in pieces:
        whole = piece if whole is None else whole + piece
    same((whole.text, whole.usage_metadata["output_tokens"]), (REPLY, 12))
    check(sum(bool(piece.text) for piece in pieces) >= 2, "it came in one piece")
    bound = chat("tool", **more).bind_tools([WEATHER])
    question = HumanMessage("Weather?")
    answer = bound.invoke([question])
    same([(call["name"], call["args"]) for call in answer.tool_calls], [("weather", {"city": "Paris"})])
    answer = bound.invoke([question, answer, ToolMessage("Sunny", tool_call_id=answer.tool_calls[0]["id"])])
    check(isinstance(answer, AIMessage), type(answer))
    same(answer.text, "The tool said: Sunny")
    form = chat("json", **more).with_structured_output({"title": "place", "description": "A place."} | PLACE, method="json_schema", strict=True)
    same(form.invoke(ASK), {"city": "Paris", "people": 7})
    picture = {"type": "image", "source_type": "base64", "mime_type": "image/png", "data": PNG}
    same(chat("see", **more).invoke([HumanMessage([{"type": "text", "text": "What is it?"}, picture])]).text, SEEN_PNG)
    for what, kind, status in (("error-429", openai.RateLimitError, 429), ("error-400", openai.BadRequestError, 400)):
        try:
            chat(what, **more).invoke(ASK)
        except kind as error:
            # The library's own class below the client's.
            same((what, error.status_code), (what, status))
        else:
            raise AssertionError(f"{what} raised nothing")
    try:
        chat("error-500", **more).invoke(ASK)
        raise AssertionError("error-500 raised nothing")
    except openai.InternalServerError as error:
        check(error.status_code >= 500, error)


def completions():
    conversation()


def responses():
    conversation(use_responses_api=True, store=False)


def embeddings():
    # Without a tokenizer, which it would fetch from elsewhere.
    embedder = OpenAIEmbeddings(model=model("embed"), base_url=f"{BASE}/v1", api_key=KEY, check_embedding_ctx_length=False, max_retries=0)
    same(embedder.embed_documents(["a", "b"]), [[0.25, -0.5, 1.0]] * 2)


run({part.__name__: part for part in (completions, responses, embeddings)})
