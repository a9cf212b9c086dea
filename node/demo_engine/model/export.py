#!/usr/bin/env python3
"""Turns trained weights and the tokenizer into one GGUF file.

usage: export.py WEIGHTS.pt TOKENIZER.model OUT.gguf

There is no output.weight: llama.cpp uses token_embd.weight in its place, which is how the model was trained.
"""
import sys

import sentencepiece
import torch

import shape
from gguf_writer import BOOL, FLOAT32, INT32, STRING, UINT32, GgufWriter

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Token types of llama.cpp.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
FILE_TYPE_MOSTLY_F16 = 1


def token_type(tokenizer, index):
    if tokenizer.is_unknown(index):
        return UNKNOWN
    if tokenizer.is_control(index) or tokenizer.id_to_piece(index).startswith("<|im_"):
        return CONTROL
    return BYTE if tokenizer.is_byte(index) else NORMAL


def add_shape(writer):
    writer.add("general.architecture", STRING, "llama")
    writer.add("general.name", STRING, "Nostril demo")
    writer.add("general.file_type", UINT32, FILE_TYPE_MOSTLY_F16)
    for key, value in {
        "context_length": shape.CONTEXT,
        "embedding_length": shape.WIDTH,
        "block_count": shape.LAYERS,
        "feed_forward_length": shape.FEED_FORWARD,
        "attention.head_count": shape.HEADS,
        "attention.head_count_kv": shape.KV_HEADS,
        "rope.dimension_count": shape.HEAD_WIDTH,
        "vocab_size": shape.VOCABULARY,
    }.items():
        writer.add(f"llama.{key}", UINT32, value)
    writer.add("llama.attention.layer_norm_rms_epsilon", FLOAT32, shape.NORM_EPSILON)
    writer.add("llama.rope.freq_base", FLOAT32, shape.ROPE_BASE)


def add_tokenizer(writer, tokenizer):
    indexes = range(tokenizer.get_piece_size())
    message_end = tokenizer.piece_to_id("<|im_end|>")
    writer.add("tokenizer.chat_template", STRING, CHAT_TEMPLATE)
    writer.add("tokenizer.ggml.model", STRING, "llama")
    writer.add_array("tokenizer.ggml.tokens", STRING, [tokenizer.id_to_piece(index) for index in indexes])
    writer.add_array("tokenizer.ggml.scores", FLOAT32, [tokenizer.get_score(index) for index in indexes])
    writer.add_array("tokenizer.ggml.token_type", INT32, [token_type(tokenizer, index) for index in indexes])
    writer.add("tokenizer.ggml.bos_token_id", UINT32, tokenizer.bos_id())
    writer.add("tokenizer.ggml.eos_token_id", UINT32, message_end)
    writer.add("tokenizer.ggml.eot_token_id", UINT32, message_end)
    writer.add("tokenizer.ggml.unknown_token_id", UINT32, tokenizer.unk_id())
    writer.add("tokenizer.ggml.add_bos_token", BOOL, True)
    writer.add("tokenizer.ggml.add_eos_token", BOOL, False)
    writer.add("tokenizer.ggml.add_space_prefix", BOOL, False)


def add_weights(writer, weights):
    for name in ["token_embd", "output_norm"]:
        writer.add_tensor(f"{name}.weight", weights[name].numpy())
    for name, tensor in weights.items():
        if name.startswith("blk."):
            writer.add_tensor(f"{name}.weight", tensor.numpy())


def main():
    weights_path, tokenizer_path, out_path = sys.argv[1:]
    writer = GgufWriter()
    add_shape(writer)
    add_tokenizer(writer, sentencepiece.SentencePieceProcessor(model_file=tokenizer_path))
    add_weights(writer, torch.load(weights_path, map_location="cpu"))
    writer.write(out_path)


if __name__ == "__main__":
    main()
