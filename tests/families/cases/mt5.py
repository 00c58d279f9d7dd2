import dataclasses

from case import heads

from . import t5

TIED = heads(
    "mt5",
    dict(model_type="mt5", **t5.FIELDS),
    {
        "Transformer": "MT5Model",
        "Seq2SeqLM": "MT5ForConditionalGeneration",
        "Seq2SeqClassifier": "MT5ForSequenceClassification",
        "Seq2SeqSpanExtractor": "MT5ForQuestionAnswering",
        "TransformerEncoder": "MT5EncoderModel",
        "TokenClassifier": "MT5ForTokenClassification",
    },
    {
        "deep_decoder": ("Seq2SeqLM", dict(num_decoder_layers=3), {}),
        "gelu": ("Seq2SeqLM", dict(feed_forward_proj="gelu"), {}),
        "exact_gelu": ("Transformer", dict(dense_act_fn="gelu"), {}),
        "left": ("Transformer", {}, dict(left=True)),
    },
)
CASES = [dataclasses.replace(case, untied=case.head == "Seq2SeqLM") for case in TIED]
