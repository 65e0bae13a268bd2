"""promptd as a gateway beside other gateways: `python -m bench.gateway --help`."""
