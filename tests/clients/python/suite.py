"""What the suites of the Python clients share: where to go, what the scripted provider says, and a count of the checks.

The environment says where: CLIENT_BASE (an origin), CLIENT_KEY, CLIENT_MODELS (what stands before a behaviour in a model's name),
CLIENT_PARTS (which parts to run; none: all), CLIENT_WITHOUT (parts with one of these words in their name are left out; with = before it, the part of that name), CLIENT_THROUGH (1: a gateway is in between, so that errors are its own), CLIENT_CACHED (tokens that the
provider reports as cached, 4 unless it reports none).
"""

import os
import sys

BASE = os.environ["CLIENT_BASE"]
KEY = os.environ["CLIENT_KEY"]
THROUGH = os.environ.get("CLIENT_THROUGH") == "1"
CACHED = int(os.environ.get("CLIENT_CACHED", "4"))

WITHOUT = os.environ.get("CLIENT_WITHOUT", "").split()
# Words that leave a check out, where they are no part's.
COUNTS_THOUGHTS = "thoughts_count" not in WITHOUT
SAYS_WHEN = "retry_after" not in WITHOUT

REPLY = "Hello from the provider."
THOUGHTS = "The user asks, so I answer."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
# One pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="
SEEN_PNG = "I see image/png of 70 bytes"
PDF = "JVBERi0xLjQKJSVFT0YK"
SEEN_PDF = "I see application/pdf of 15 bytes"

checks = 0


def model(what):
    return os.environ.get("CLIENT_MODELS", "scripted-") + what


def check(condition, what):
    global checks
    if not condition:
        raise AssertionError(what)
    checks += 1


def same(found, wanted):
    check(found == wanted, f"{found!r} instead of {wanted!r}")


def raises(kind, status, act):
    """`act` raises exactly this class, with this status (None: whatever it is)."""
    try:
        act()
    except kind as error:
        check(type(error) is kind, f"{type(error)} instead of {kind}: {error}")
        found = getattr(error, "status_code", None) or getattr(error, "code", None)
        check(status is None or found == status, f"{found} instead of {status}: {error}")
        return error
    raise AssertionError(f"no {kind.__name__}")


def run(parts):
    """Runs the parts that are asked for, or all; says how much was checked."""
    wanted = os.environ.get("CLIENT_PARTS", "").split() or list(parts)
    left_out = lambda name: any(word[1:] == name if word.startswith("=") else word in name for word in WITHOUT)
    for name in (name for name in wanted if not left_out(name)):
        before = checks
        parts[name]()
        check(checks > before, f"{name} checked nothing")
    print(f"{checks} checks passed")
    sys.exit(0)
