"""An MCP server whose lists and answers are odd, without any library. ``python odd_server.py``"""

import json
import sys

MANY = 1_500
ANSWERS = {  # what replaces the result, byte for byte
    "hologram": (
        b'{"content": [{"type": "text", "text": "it is done"}, {"type": "hologram", "data": 1}]}'
    ),
    "only_hologram": b'{"content": [{"type": "hologram", "data": 1}]}',
    "no_block": b'{"content": [{"type": "text", "text": "done"}, "what?", {"type": "text"}]}',
    "latin_1": b'{"content": [{"type": "text", "text": "caf\xe9"}]}',
    "nan": b'{"content": [], "structuredContent": {"v": NaN, "w": [1, -Infinity]}}',
}
ODD_TOOLS = [
    {"name": "no_type", "description": "No type", "inputSchema": {"properties": {}}},
    {"name": "no_schema", "description": "No schema"},
    {"name": "list_schema", "inputSchema": []},
    {"name": "nan_schema", "inputSchema": {"type": "object", "default": float("nan")}},
    {"description": "No name", "inputSchema": {"type": "object"}},
    "no tool at all",
]


def tools() -> list:
    good = [{"name": name, "inputSchema": {"type": "object"}} for name in ANSWERS]
    many = [
        {"name": f"tool_{n}", "description": "d", "inputSchema": {"type": "object"}}
        for n in range(MANY - len(good))
    ]
    return [*ODD_TOOLS, *good, *many]


def answer(request: dict, result: bytes) -> None:
    head = b'{"jsonrpc": "2.0", "id": %d, "result": ' % request["id"]
    sys.stdout.buffer.write(head + result + b"}\n")
    sys.stdout.buffer.flush()


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        match request["method"]:
            case "initialize":
                result = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "odd", "version": "1"},
                }
                answer(request, json.dumps(result).encode())
            case "tools/list":
                answer(request, json.dumps({"tools": tools()}).encode())
            case "tools/call":
                answer(request, ANSWERS[request["params"]["name"]])
            case _:
                error = {"code": -32601, "message": "what?"}
                message = {"jsonrpc": "2.0", "id": request["id"], "error": error}
                sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
                sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
