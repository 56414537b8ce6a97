"""An MCP server in thirty lines, without any library: it starts in no time, speaks the protocol as
it was in 2025, and dies on request. ``python bare_server.py FOLDER``"""

import json
import os
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
NAMES = ("pid", "die", "elicit", "changing")


def say(message: dict) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)  # noqa: T201 - that is the protocol


def listed() -> dict:
    about = "another" if (FOLDER / "changed").exists() else "the first"
    return {
        "tools": [
            {
                "name": name,
                "inputSchema": {"type": "object"},
                "description": about if name == "changing" else name,
            }
            for name in NAMES
        ]
    }


def called(request: dict) -> dict:
    name = request["params"]["name"]
    if name == "die":
        os.write(2, f"cannot go on, {os.environ.get('TOKEN')}\n".encode())
        os._exit(3)
    if name == "elicit":
        schema = {"type": "object", "properties": {}}
        params = {"message": "Sure?", "requestedSchema": schema}
        say({"id": "e1", "method": "elicitation/create", "params": params})
        text = sys.stdin.readline()
    else:
        text = str(os.getpid())
    return {"content": [{"type": "text", "text": text}]}


with open(FOLDER / "starts", "a") as file:
    file.write("x")
print("this line is no protocol at all", flush=True)  # noqa: T201
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    match request["method"]:
        case "initialize":
            info = {"name": "bare", "version": "1"}
            result = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": info,
            }
        case "tools/list":
            result = listed()
        case "tools/call":
            result = called(request)
        case _:
            say({"id": request["id"], "error": {"code": -32601, "message": "what?"}})
            continue
    say({"id": request["id"], "result": result})
