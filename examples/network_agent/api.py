"""The API behind the network assistant: `python api.py [PORT]`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Network(BaseHTTPRequestHandler):
    """Statistics, restarts, and what is said where no target fits: a chat completion."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/devices/statistics":
            rows = [
                {"device": name, "packets": 1000 * asked["days"], "errors": len(name)} for name in asked["device_ids"]
            ]
            self.answer({"days": asked["days"], "statistics": rows})
        elif self.path.endswith("/restart"):
            self.answer({"restarted": self.path.split("/")[2]})
        else:
            said = f"I know about devices, not about: {asked['messages'][-1]['content']}"
            self.answer({"model": "network-1", "choices": [{"message": {"role": "assistant", "content": said}}]})

    def answer(self, said: Any) -> None:
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port: int) -> ThreadingHTTPServer:
    return ThreadingHTTPServer(("127.0.0.1", port), Network)


if __name__ == "__main__":
    serve(int(sys.argv[1]) if sys.argv[1:] else 18084).serve_forever()
