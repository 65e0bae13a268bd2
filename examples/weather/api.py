"""The API behind the weather assistant: `python api.py [PORT]`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Weather(BaseHTTPRequestHandler):
    """`GET /forecast/<city>?days=<number>`. The weather is made up, but the same every time."""

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        city, days = unquote(path.removeprefix("/forecast/")), int(query.get("days", ["1"])[0])
        mean = sum(city.encode()) % 25
        forecast = [{"day": day, "low": mean + day - 3, "high": mean + day + 4} for day in range(1, days + 1)]
        self.answer({"city": city, "unit": "C", "forecast": forecast})

    def answer(self, said: Any) -> None:
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port: int) -> ThreadingHTTPServer:
    return ThreadingHTTPServer(("127.0.0.1", port), Weather)


if __name__ == "__main__":
    serve(int(sys.argv[1]) if sys.argv[1:] else 18083).serve_forever()
