#!/usr/bin/env python3
"""Trains the demo model: a Llama of 0.4 million parameters, on one CPU thread.

usage: train.py CHATS.jsonl TOKENIZER.model OUT.pt SECONDS

The learning rate follows the wall clock, so SECONDS bounds the run and still ends it well cooled.
Layout of the weights as llama.cpp wants them: pairs (2i, 2i+1) are rotated by RoPE, output shares the embedding.
"""
import json
import math
import random
import sys
import time

import sentencepiece
import torch
import torch.nn.functional as F
from torch import nn

from shape import CONTEXT, FEED_FORWARD, HEADS, HEAD_WIDTH, KV_HEADS, LAYERS, NORM_EPSILON, ROPE_BASE, VOCABULARY, WIDTH

BATCH_TOKENS = 1536
LEARNING_RATE = 4e-3
WARMUP_STEPS = 100
LAST_RATE_SHARE = 0.02
# Questions are learned a little too (they are text), the words around them not at all.
QUESTION_WEIGHT = 0.1
VALIDATION_CHATS = 200


def matrix(rows, columns, scale=1.0):
    return nn.Parameter(torch.randn(rows, columns) * 0.02 * scale)


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + NORM_EPSILON) * weight


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        into_residual = 1 / math.sqrt(2 * LAYERS)
        self.attn_norm = nn.Parameter(torch.ones(WIDTH))
        self.attn_q = matrix(WIDTH, WIDTH)
        self.attn_k = matrix(KV_HEADS * HEAD_WIDTH, WIDTH)
        self.attn_v = matrix(KV_HEADS * HEAD_WIDTH, WIDTH)
        self.attn_output = matrix(WIDTH, WIDTH, into_residual)
        self.ffn_norm = nn.Parameter(torch.ones(WIDTH))
        self.ffn_gate = matrix(FEED_FORWARD, WIDTH)
        self.ffn_up = matrix(FEED_FORWARD, WIDTH)
        self.ffn_down = matrix(WIDTH, FEED_FORWARD, into_residual)

    def attend(self, x, rotate, mask):
        batch, length, _ = x.shape
        query = rotate((x @ self.attn_q.T).view(batch, length, HEADS, HEAD_WIDTH)).transpose(1, 2)
        key = rotate((x @ self.attn_k.T).view(batch, length, KV_HEADS, HEAD_WIDTH))
        value = (x @ self.attn_v.T).view(batch, length, KV_HEADS, HEAD_WIDTH)
        key = key.repeat_interleave(HEADS // KV_HEADS, 2).transpose(1, 2)
        value = value.repeat_interleave(HEADS // KV_HEADS, 2).transpose(1, 2)
        scores = query @ key.transpose(2, 3) / math.sqrt(HEAD_WIDTH) + mask
        mixed = (F.softmax(scores, -1) @ value).transpose(1, 2).reshape(batch, length, WIDTH)
        return mixed @ self.attn_output.T

    def forward(self, x, rotate, mask):
        x = x + self.attend(rms_norm(x, self.attn_norm), rotate, mask)
        y = rms_norm(x, self.ffn_norm)
        return x + (F.silu(y @ self.ffn_gate.T) * (y @ self.ffn_up.T)) @ self.ffn_down.T


class DemoModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embd = matrix(VOCABULARY, WIDTH)
        self.output_norm = nn.Parameter(torch.ones(WIDTH))
        self.blk = nn.ModuleList(Block() for _ in range(LAYERS))
        frequency = ROPE_BASE ** -(torch.arange(0, HEAD_WIDTH, 2).float() / HEAD_WIDTH)
        angle = torch.outer(torch.arange(CONTEXT).float(), frequency)
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def rotate(self, x):
        length = x.shape[1]
        cosine, sine = self.cosine[:length, None, :], self.sine[:length, None, :]
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)

    def forward(self, tokens):
        length = tokens.shape[1]
        mask = torch.full((length, length), -math.inf).triu(1)
        x = self.token_embd[tokens]
        for block in self.blk:
            x = block(x, self.rotate, mask)
        return rms_norm(x, self.output_norm) @ self.token_embd.T


def read_chats(path, tokenizer):
    """Each chat as (tokens, weights), cut exactly where the engine's chat template cuts."""
    chats = []
    for line in open(path, encoding="utf-8"):
        tokens, weights = [tokenizer.bos_id()], [0.0]
        for role, text in json.loads(line):
            head = tokenizer.encode(f"<|im_start|>{role}\n")
            body = tokenizer.encode(text) + [tokenizer.piece_to_id("<|im_end|>")]
            tail = tokenizer.encode("\n")
            weight = 1.0 if role == "assistant" else QUESTION_WEIGHT
            tokens += head + body + tail
            weights += [0.0] * len(head) + [weight] * len(body) + [0.0] * len(tail)
        if len(tokens) <= CONTEXT:
            chats.append((tokens, weights))
    return chats


def to_tensors(chats):
    longest = max(len(tokens) for tokens, _ in chats)
    tokens = torch.zeros(len(chats), longest, dtype=torch.long)
    weights = torch.zeros(len(chats), longest)
    for row, (chat_tokens, chat_weights) in enumerate(chats):
        tokens[row, : len(chat_tokens)] = torch.tensor(chat_tokens)
        weights[row, : len(chat_weights)] = torch.tensor(chat_weights)
    return tokens[:, :-1], tokens[:, 1:], weights[:, 1:]


def batches(chats):
    """Chats of like length together: padding is time."""
    noisy_length = lambda chat: len(chat[0]) + random.uniform(-4, 4)
    groups, group = [], []
    for chat in sorted(chats, key=noisy_length):
        if group and (len(group) + 1) * (len(chat[0]) + 4) > BATCH_TOKENS:
            groups.append(group)
            group = []
        group.append(chat)
    groups.append(group)
    random.shuffle(groups)
    return map(to_tensors, groups)


def loss_of(model, tokens, targets, weights):
    losses = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def optimizer_of(model):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))


def rate_at(step, done):
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return LEARNING_RATE * min(1, (step + 1) / WARMUP_STEPS) * (LAST_RATE_SHARE + (1 - LAST_RATE_SHARE) * cosine)


def train(model, chats, seconds):
    optimizer = optimizer_of(model)
    begin, step, seen = time.monotonic(), 0, 0
    while True:
        for tokens, targets, weights in batches(chats):
            elapsed = time.monotonic() - begin
            if elapsed >= seconds:
                return
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, elapsed / seconds)
            loss = loss_of(model, tokens, targets, weights)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step, seen = step + 1, seen + tokens.numel()
            if step % 50 == 0:
                print(f"{elapsed:.0f} s, step {step}, {seen / 1e6:.2f} M tokens, loss {loss.item():.4f}", flush=True)


def main():
    chats_path, tokenizer_path, out_path, seconds = sys.argv[1:]
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    random.seed(1)
    chats = read_chats(chats_path, sentencepiece.SentencePieceProcessor(model_file=tokenizer_path))
    validation, training = chats[:VALIDATION_CHATS], chats[VALIDATION_CHATS:]
    model = DemoModel()
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(training)} chats", flush=True)
    train(model, training, float(seconds))
    torch.save(model.state_dict(), out_path)
    with torch.no_grad():
        losses = [loss_of(model, *batch).item() for batch in batches(validation)]
    print(f"validation loss {sum(losses) / len(losses):.4f}")


if __name__ == "__main__":
    main()
