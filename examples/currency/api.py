"""The API behind the exchange rates: `python api.py [PORT]`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

EUROS = {"EUR": 1.0, "USD": 0.92, "GBP": 1.17, "JPY": 0.0062, "CHF": 1.04}


class Rates(BaseHTTPRequestHandler):
    """`GET /v1/latest?base=USD&symbols=EUR` and `GET /v1/currencies`. The rates are made up."""

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if not self.path.startswith("/v1/latest"):
            self.answer(sorted(EUROS))
            return
        base, wanted = asked["base"], asked["symbols"]
        self.answer({"base": base, "rates": {wanted: round(EUROS[base] / EUROS[wanted], 4)}})

    def answer(self, said: Any) -> None:
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port: int) -> ThreadingHTTPServer:
    return ThreadingHTTPServer(("127.0.0.1", port), Rates)


if __name__ == "__main__":
    serve(int(sys.argv[1]) if sys.argv[1:] else 18085).serve_forever()
