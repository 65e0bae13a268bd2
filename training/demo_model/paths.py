"""Where the held-out set and the exported files live in the repository."""

from pathlib import Path

_ROOT = Path(__file__).parents[2]
HELDOUT_PATH = _ROOT / "tests" / "models" / "heldout.jsonl"
MODEL_PATH = _ROOT / "src" / "promptd" / "models" / "demo.gguf"
MANIFEST_PATH = _ROOT / "src" / "promptd" / "models" / "demo.json"
