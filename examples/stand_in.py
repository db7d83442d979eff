"""A model on loopback for the examples of frameworks, where no key is set.

It calls the first tool once for each input and then answers: OpenAI's two APIs and Gemini's.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOOL, GIVEN, TEXT = "pods", {"namespace": "shop"}, "One of two pods restarts. Look at its log."


def size(body: dict[str, Any]) -> int:
    """Return about as many tokens as a body has."""
    return len(json.dumps(body)) // 5


def chat(body: dict[str, Any]) -> dict[str, Any]:
    """Answer as Chat Completions do."""
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": TOOL, "arguments": json.dumps(GIVEN)},
    }
    asked = body["messages"][-1]["role"] == "user"
    said = {"content": None, "tool_calls": [call]} if asked else {"content": TEXT}
    choice = {"index": 0, "message": {"role": "assistant", **said}}
    choice["finish_reason"] = "tool_calls" if asked else "stop"
    usage = {"prompt_tokens": size(body), "completion_tokens": 12, "total_tokens": size(body) + 12}
    known = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"]}
    return {**known, "choices": [choice], "usage": usage}


def responses(body: dict[str, Any]) -> dict[str, Any]:
    """Answer as Responses do."""
    said: dict[str, Any] = {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
    }
    said["content"] = [{"type": "output_text", "text": TEXT, "annotations": []}]
    if body["input"][-1].get("role") == "user":
        said = {
            "type": "function_call",
            "call_id": "c",
            "name": TOOL,
            "arguments": json.dumps(GIVEN),
        }
    usage = {"input_tokens": size(body), "output_tokens": 12, "total_tokens": size(body) + 12}
    known = {"id": "r", "object": "response", "created_at": 1, "model": body["model"], "tools": []}
    return {
        **known,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "output": [said],
        "usage": usage,
    }


def gemini(body: dict[str, Any]) -> dict[str, Any]:
    """Answer as Gemini does."""
    asked = "text" in body["contents"][-1]["parts"][-1]
    part = {"functionCall": {"name": TOOL, "args": GIVEN}} if asked else {"text": TEXT}
    said = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    return {
        "candidates": [said],
        "usageMetadata": {"promptTokenCount": size(body), "candidatesTokenCount": 12},
    }


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_POST(self) -> None:
        """Answer in the dialect of the path."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = chat if "/chat/" in self.path else responses if "/resp" in self.path else gemini
        content = json.dumps(answer(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def start() -> str:
    """Start it and return its URL; it ends with the program."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
