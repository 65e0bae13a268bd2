"""Write the trained model as GGUF: `python -m training.demo_model.export --work DIR`.

Matrices become Q8_0, gains stay F32; the tokenizer and the chat template travel in the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from .model import Config
from .paths import MANIFEST_PATH, MODEL_PATH
from .tokenizer import CHAT_TEMPLATE, SPECIALS

_NAMES = {
    "embed.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "attn_norm.weight": "attn_norm.weight",
    "q.weight": "attn_q.weight",
    "k.weight": "attn_k.weight",
    "v.weight": "attn_v.weight",
    "o.weight": "attn_output.weight",
    "ffn_norm.weight": "ffn_norm.weight",
    "gate.weight": "ffn_gate.weight",
    "up.weight": "ffn_up.weight",
    "down.weight": "ffn_down.weight",
}


def gguf_name(name: str) -> str:
    """The GGUF name of one of our weights."""
    if name.startswith("blocks."):
        _, index, rest = name.split(".", 2)
        return f"blk.{index}.{_NAMES[rest]}"
    return _NAMES[name]


def _add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].__getitem__)
    kinds = [gguf.TokenType.CONTROL if token in SPECIALS else gguf.TokenType.NORMAL for token in tokens]
    end, pad = tokens.index("<|end|>"), tokens.index("<|pad|>")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in state["merges"]])
    writer.add_bos_token_id(pad)
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_pad_token_id(pad)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def export(work: Path, target: Path) -> None:
    """Write `target` from the work directory's `model.pt` and `tokenizer.json`."""
    state = torch.load(work / "model.pt", weights_only=True)
    config = Config(**state["config"])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")  # renamed at the end: others may have the old file open
    writer = gguf.GGUFWriter(partial, "llama")
    writer.add_name("promptd demo")
    writer.add_description("A small demonstration model, trained from scratch on generated sentences.")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.dim)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.eps)
    writer.add_vocab_size(config.vocab)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, work / "tokenizer.json")
    for name, weight in state["weights"].items():
        array: np.ndarray = weight.float().numpy()
        if array.ndim == 2:
            packed = gguf.quants.quantize(array, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(gguf_name(name), packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(gguf_name(name), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(target)
    print(f"{target.name}: {target.stat().st_size} bytes")
    if target == MODEL_PATH:
        _write_manifest(config, state, target)


def _write_manifest(config: Config, state: dict[str, Any], target: Path) -> None:
    """Describe the committed file; the scores are added by `evaluate --write`."""
    manifest = {
        "name": "demo",
        "file": target.name,
        "description": "a small demonstration model",
        "architecture": "llama",
        "quantization": "Q8_0",
        "license": "same as the project",
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "size": target.stat().st_size,
        "parameters": sum(w.numel() for w in state["weights"].values()),
        "context_length": config.context,
        "vocabulary": config.vocab,
        "training": {key: state[key] for key in ("seed", "steps", "tokens")},
    }
    MANIFEST_PATH.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the options and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--target", type=Path, default=MODEL_PATH)
    args = parser.parse_args()
    export(args.work, args.target)


if __name__ == "__main__":
    main()
