"""Conversations as text: what stands around messages, and which tokens are answers."""

import datetime

import numpy as np
import pytest

from keras_transformer import text
from keras_transformer.data import Message
from keras_transformer.text.chat import JINJA

MARKS = ("<|im_start|>", "<|im_end|>")
TALK = (
    Message("system", "Be brief."),
    Message("user", "What is 1 + 1?"),
    Message("assistant", "It is 2."),
    Message("user", "And 2 + 2?\nSay it."),
    Message("assistant", " 4, of course\n"),
)
# As checkpoints publish it, with the marks from which transformers tells the answers' tokens.
CHATML = """\
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {{- "<|im_start|>assistant\\n" }}{% generation %}{{- message.content + "<|im_end|>" }}
        {%- endgeneration %}{{- "\\n" }}
    {%- else %}
        {{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|im_start|>assistant\\n" }}
{%- endif %}
"""
LLAMA_2 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] "
    "+ ' [/INST]' }}{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant!') }}{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    lines = [message.content for message in TALK] + ["### Question ### Answer"]
    return text.BytePairTokenizer.train([lines * 2], 290, special_tokens=MARKS)


def learned(tokenizer, template, talk=TALK):
    """The text of each stretch of tokens that are learned, special ones shown."""
    ids, is_learned = text.chat_tokens(tokenizer, template, talk)
    assert len(ids) == len(is_learned)
    stretches, before = [], False
    for token, now in zip(ids, is_learned, strict=True):
        if now and not before:
            stretches.append([])
        if now:
            stretches[-1].append(token)
        before = now
    return ["".join(tokenizer.pieces(each)).replace("Ġ", " ") for each in stretches]


def test_an_answer_is_learned_with_its_end(tokenizer):
    expected = ["It is 2.<|im_end|>", " 4, of courseĊ<|im_end|>"]
    assert learned(tokenizer, text.CHATML) == expected
    expected = [each.replace("<|im_end|>", "<|endoftext|>") for each in expected]
    assert learned(tokenizer, text.ChatTemplate()) == expected


def test_what_is_asked_begins_as_what_was_learned(tokenizer):
    for template in (text.CHATML, text.ChatTemplate()):
        prompt = tokenizer.encode(template.render(TALK[:2], prompt=True))
        ids, is_learned = text.chat_tokens(tokenizer, template, TALK)
        assert ids[: len(prompt)] == prompt and is_learned.index(True) == len(prompt)


def test_the_first_token_of_a_template_comes_once():
    special = ("<s>", "</s>")
    lines = [message.content for message in TALK]
    plain = text.BytePairTokenizer.train([lines * 2], 280, "llama3", special_tokens=special)
    assert plain.template.num_added() == 1
    ids, is_learned = text.chat_tokens(plain, text.ChatTemplate(), TALK)
    assert ids.count(plain.bos_id) == 1 and ids[0] == plain.bos_id and not is_learned[0]


@pytest.mark.parametrize("kind", ["bytes", "sentencepiece", "characters"])
def test_tokenizers_that_find_no_special_tokens_get_the_end_by_its_id(kind):
    lines = [message.content for message in TALK] + ["### Question\n### Answer\n"]
    tokenizer = {
        "bytes": lambda: text.ByteTokenizer(extra_ids=0),
        "sentencepiece": lambda: text.SentencePieceTokenizer.train(
            [lines], 310, byte_fallback=True, normalization="identity"
        ),
        "characters": lambda: text.CharacterTokenizer.train([lines]),
    }[kind]()
    ids, is_learned = text.chat_tokens(tokenizer, text.ChatTemplate(), TALK)
    ends = np.flatnonzero(np.array(ids) == tokenizer.eos_id)
    assert len(ends) == 2 and all(is_learned[end] for end in ends) and ends[-1] == len(ids) - 1
    answers = [token for token, own in zip(ids, is_learned, strict=True) if own]
    assert tokenizer.decode(answers).split() == "It is 2. 4, of course".split()
    assert tokenizer.decode(ids).strip() == text.ChatTemplate().render(TALK).strip()


def test_an_unknown_role_is_refused():
    with pytest.raises(ValueError, match="role must be one of system, user, assistant; got 'tool'"):
        text.CHATML.render([Message("tool", "7")])


def test_an_answer_without_end_is_refused():
    tokenizer = text.SentencePieceTokenizer.train([["a b"]], 8)
    tokenizer.eos_id = -1
    with pytest.raises(ValueError, match="no special token of the tokenizer, which has no eos_id"):
        text.chat_tokens(tokenizer, text.ChatTemplate(), TALK[1:3])


# Templates in Jinja


def test_a_published_template_is_read(tokenizer, tmp_path):
    pytest.importorskip("jinja2")
    tokenizer.save(tmp_path)
    assert text.read_chat_template(tmp_path, tokenizer) is None
    (tmp_path / JINJA).write_text(CHATML, "utf-8")
    template = text.read_chat_template(tmp_path, tokenizer)
    assert template.render(TALK) == text.CHATML.render(TALK)
    assert template.render(TALK[:2], prompt=True) == text.CHATML.render(TALK[:2], prompt=True)
    assert text.chat_tokens(tokenizer, template, TALK) == text.chat_tokens(
        tokenizer, text.CHATML, TALK
    )
    assert template.to_jinja() == CHATML


def test_a_template_that_names_the_day_is_told_which(tokenizer, tmp_path):
    pytest.importorskip("jinja2")
    (tmp_path / JINJA).write_text("{{ strftime_now('%d %b %Y') }}", "utf-8")
    day = datetime.date(2024, 7, 26)
    template = text.read_chat_template(tmp_path, tokenizer, today=day)
    assert template.render(TALK) == "26 Jul 2024"
    today = text.read_chat_template(tmp_path, tokenizer).render(TALK)
    assert abs(datetime.datetime.strptime(today, "%d %b %Y") - datetime.datetime.now()).days <= 1


@pytest.mark.parametrize("template", [text.CHATML, text.ChatTemplate()])
def test_a_template_is_the_same_in_jinja(template, tokenizer):
    pytest.importorskip("jinja2")
    jinja = text.JinjaChatTemplate(template.to_jinja(), eos="<|endoftext|>")
    for talk, prompt in ((TALK, False), (TALK[:2], True), (TALK[1:], False)):
        rendered = jinja.render(talk, prompt).replace("<|endoftext|>", "")
        assert rendered == template.render(talk, prompt)
    assert text.chat_tokens(tokenizer, jinja, TALK) == text.chat_tokens(tokenizer, template, TALK)


@pytest.mark.parametrize(
    "source, message",
    [
        ("{% for m in messages %}", "no valid Jinja"),
        (LLAMA_2, "refuses these messages: Only user and assistant!"),
        ("{{ messages.__class__.__mro__ }}", "refuses these messages: access to attribute"),
        ("{{ messages.append(1) }}", "refuses these messages: "),
        ("{{ messages[-1].content }}", "message 2: the chat template writes what is before it"),
    ],
)
def test_templates_that_cannot_be_learned_from_are_refused(source, message, tokenizer):
    pytest.importorskip("jinja2")
    with pytest.raises(ValueError, match=message):
        text.chat_tokens(tokenizer, text.JinjaChatTemplate(source), TALK)


def test_rendering_and_answers_are_those_of_transformers(tokenizer, tmp_path):
    pytest.importorskip("jinja2")
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    told = [message._asdict() for message in TALK]
    for source, talk in ((CHATML, TALK), (LLAMA_2, TALK[1:])):
        template = text.JinjaChatTemplate(source, "<|endoftext|>", "<|endoftext|>")
        expected = peer.apply_chat_template(
            told[-len(talk) :], chat_template=source, tokenize=False
        )
        assert template.render(talk) == expected
    talk = [message._replace(content=message.content.strip()) for message in TALK]
    told = [
        message._asdict() for message in talk
    ]  # theirs finds no answer that begins with a space
    found = peer.apply_chat_template(
        told,
        chat_template=CHATML,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids, is_learned = text.chat_tokens(tokenizer, text.JinjaChatTemplate(CHATML), talk)
    assert ids == found["input_ids"]
    assert [int(each) for each in is_learned] == list(found["assistant_masks"])
    for template in (text.CHATML, text.ChatTemplate()):
        source = template.to_jinja()
        expected = peer.apply_chat_template(told, chat_template=source, tokenize=True)
        expected = expected["input_ids"] if hasattr(expected, "keys") else expected
        assert text.chat_tokens(tokenizer, template, talk)[0] == list(expected)


def test_only_the_first_beginning_is_left_to_the_tokenizer():
    """As Llama 2's template has it: each of the user's turns begins a text."""
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[' + m.content + ']' }}"
        "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
    )
    talk = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    whole = text.JinjaChatTemplate(source, "<s>", "</s>")
    assert whole.render(talk) == "<s>[a]b</s><s>[c]"
    template = text.JinjaChatTemplate(source, "<s>", "</s>", adds_bos=True)
    assert template.render(talk) == "[a]b</s><s>[c]"
    rendered, [(start, end)] = template.spans(talk)
    assert rendered[start:end] == "b</s>"
