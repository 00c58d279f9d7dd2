"""The processes that benchmarks.generation compares: each loads a folder, then decodes on request.

python -m benchmarks.generation_peers write|ours|keras_hub|transformers|ctranslate2 TASK FOLDER
"""

import json
import pathlib
import sys
import time

BEAM = 5


def write(task, folder):
    """A checkpoint with random weights, as transformers writes it, that never ends a sequence."""
    import torch
    import transformers

    torch.manual_seed(0)
    if task == "gpt2":
        config = transformers.GPT2Config(bos_token_id=50256, eos_token_id=50256)
        model = transformers.GPT2LMHeadModel(config)
        # Weights of this size do not repeat one token for ever, as the usual small ones would.
        scale_(model, 3.0)
    else:
        sizes = dict(d_model=512, encoder_layers=6, decoder_layers=6, vocab_size=32_000)
        heads = dict(encoder_attention_heads=8, decoder_attention_heads=8)
        widths = dict(encoder_ffn_dim=2048, decoder_ffn_dim=2048, max_position_embeddings=256)
        ids = dict(pad_token_id=31_999, eos_token_id=0, decoder_start_token_id=31_999)
        config = transformers.MarianConfig(
            **sizes,
            **heads,
            **widths,
            **ids,
            bos_token_id=1,
            activation_function="relu",
            scale_embedding=True,
            forced_eos_token_id=None,
        )
        model = transformers.MarianMTModel(config)
        with torch.no_grad():
            model.final_logits_bias[:, [0, 31_999]] = -1e4
    model.save_pretrained(folder)


def scale_(model, factor):
    """Multiplies all matrices of the blocks."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".h." in name and parameter.ndim == 2:
                parameter.mul_(factor)


def ours(task, folder):
    """Called as users call it."""
    from keras_transformer import generation, models

    if task == "gpt2":
        model = models.CausalLM.from_pretrained(folder)
        return lambda rows, batch, new: rows_of(
            generation.generate(model, rows, new, generation.Greedy())
        )
    model = models.Seq2SeqLM.from_pretrained(folder)
    method = generation.BeamSearch(BEAM)
    return lambda rows, batch, new: rows_of(
        generation.generate(model, rows, new, method, batch_size=batch)
    )


def rows_of(generated):
    """The best sequence of every row."""
    return generated.sequences[:, 0].tolist()


def keras_hub(task, folder):
    """KerasHub's GPT-2, with the weights of the folder."""
    import keras_hub
    import numpy as np

    backbone = keras_hub.models.GPT2Backbone.from_preset(folder)
    model = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
    model.compile(sampler="greedy")

    def run(rows, batch, new):
        length = len(rows[0])
        tokens = np.zeros((len(rows), length + new), "int32")
        tokens[:, :length] = rows
        mask = np.arange(length + new) < np.full((len(rows), 1), length)
        found = model.generate({"token_ids": tokens, "padding_mask": mask}, stop_token_ids=None)
        return np.asarray(found["token_ids"])[:, length:].tolist()

    return run


def transformers(task, folder):
    """transformers on torch, with its cache."""
    import torch
    import transformers

    kind = "AutoModelForCausalLM" if task == "gpt2" else "AutoModelForSeq2SeqLM"
    model = getattr(transformers, kind).from_pretrained(folder).eval()

    @torch.inference_mode()
    def run(rows, batch, new):
        found = []
        for first in range(0, len(rows), batch):
            part = rows[first : first + batch]
            length = max(map(len, part))
            pad = model.config.pad_token_id or 0
            ids = torch.tensor([row + [pad] * (length - len(row)) for row in part])
            mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in part])
            out = model.generate(
                ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=new,
                min_new_tokens=new,
                num_beams=1 if task == "gpt2" else BEAM,
                pad_token_id=pad,
            )
            found += out[:, -new:].tolist()
        return found

    return run


def ctranslate2(task, folder):
    """CTranslate2 in float32, converted from the folder."""
    import os

    import ctranslate2
    from ctranslate2.converters import transformers as converter

    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    pieces = [f"t{i}" for i in range(config["vocab_size"])]
    if task == "translation":
        pieces[config["pad_token_id"]] = "<pad>"

    class Converter(converter.TransformersConverter):
        def load_tokenizer(self, tokenizer_class, path, **options):
            return Pieces(pieces, pieces[config["eos_token_id"]])

    target = f"{folder}/ctranslate2"
    Converter(str(folder)).convert(target, force=True)
    cores = int(os.environ["OMP_NUM_THREADS"])
    kind = ctranslate2.Generator if task == "gpt2" else ctranslate2.Translator
    model = kind(target, device="cpu", compute_type="float32", intra_threads=cores)

    def run(rows, batch, new):
        words = [[pieces[i] for i in row] for row in rows]
        if task == "gpt2":
            found = model.generate_batch(
                words,
                max_length=new,
                min_length=new,
                include_prompt_in_result=False,
                beam_size=1,
                sampling_topk=1,
            )
            return [list(answer.sequences_ids[0]) for answer in found]
        found = model.translate_batch(
            words,
            beam_size=BEAM,
            max_batch_size=batch,
            max_decoding_length=new,
            min_decoding_length=new,
        )
        return [[int(word[1:]) for word in answer.hypotheses[0]] for answer in found]

    return run


class Pieces:
    """What the converter asks of a tokenizer."""

    def __init__(self, pieces, end):
        self.pieces = pieces
        self.bos_token = self.eos_token = self.unk_token = end

    def get_vocab(self):
        return {piece: i for i, piece in enumerate(self.pieces)}


def serve(run):
    """Answers every line of requests."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries print as they like
    for line in sys.stdin:
        start = time.perf_counter()
        tokens = run(**json.loads(line))
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "tokens": tokens}), file=answers, flush=True)


if __name__ == "__main__":
    kind, task, folder = sys.argv[1:]
    if kind == "write":
        write(task, folder)
    else:
        serve(globals()[kind](task, folder))
