"""Conversations as the one text that a model reads, and which of its tokens are answers.

A message has a `role` ("system", "user" or "assistant") and a `content`, as `data.Message`.
"""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from keras_transformer.text import files

JINJA = "chat_template.jinja"
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class ChatTemplate:
    r"""What stands before and after each message.

    What stands after an answer is learned with it, white space at its end apart: it tells that the
    answer is over. If that is nothing, the tokenizer's `eos_id` tells it.

    Args:
        system, user, assistant: each a pair of strings, before and after such a message.

    Example:

    >>> from keras_transformer.data import Message
    >>> template = ChatTemplate(user=("Q: ", "\n"), assistant=("A: ", "\n"))
    >>> template.render([Message("user", "1 + 1?")], prompt=True)
    'Q: 1 + 1?\nA: '
    """

    system: tuple[str, str] = ("", "\n\n")
    user: tuple[str, str] = ("### Question\n", "\n\n")
    assistant: tuple[str, str] = ("### Answer\n", "")

    def render(self, messages, prompt=False):
        """The text of messages; with `prompt`, up to where an answer of the assistant begins.

        Raises:
            ValueError: a role is not known.
        """
        return self.spans(messages)[0] + self.assistant[0] * prompt

    def spans(self, messages):
        """The text of messages, and where in it the answers stand, each with its end.

        Returns:
            pair (text, list of (start, end) in characters).
        """
        text, spans = "", []
        for message in messages:
            before, after = self._around(message.role)
            text += before
            if message.role == "assistant":
                spans.append((len(text), len(text + message.content + after.rstrip())))
            text += message.content + after
        return text, spans

    def to_jinja(self):
        """The template as Hugging Face's tokenizers keep it, in `chat_template.jinja`."""
        branches = []
        for role in ROLES:
            before, after = map(_literal, self._around(role))
            if role == "assistant" and not self.assistant[1]:
                after = "eos_token"
            said = f"{{{{ {before} + message['content'] + {after} }}}}"
            branches.append(f"if message['role'] == '{role}' %}}{said}{{% ")
        return (
            "{% for message in messages %}{% " + "el".join(branches) + "endif %}{% endfor %}"
            f"{{% if add_generation_prompt %}}{{{{ {_literal(self.assistant[0])} }}}}{{% endif %}}"
        )

    def _around(self, role):
        if role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}; got {role!r}.")
        return getattr(self, role)


CHATML = ChatTemplate(
    *((f"<|im_start|>{role}\n", "<|im_end|>\n") for role in ROLES)
)  # Qwen's and many others'; its two marks must be tokens


class JinjaChatTemplate:
    """A published template, a program in the language Jinja, run in its sandbox.

    Args:
        source: the template.
        bos, eos: what it finds as `bos_token` and `eos_token`.
        adds_bos: whether the tokenizer puts its `bos_id` before a text itself: then the `bos` that
            a rendered text begins with is left out, and no other.
        today: the `datetime.date` that `strftime_now` writes, which some templates tell the model;
            by default that of the call.

    Raises:
        ImportError: jinja2 is not installed (extra `recipes`).
        ValueError: the source is no such template.

    Example:

    >>> from keras_transformer.data import Message
    >>> template = JinjaChatTemplate("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    >>> template.render([Message("user", "1 + 1?"), Message("assistant", "2")])
    '[1 + 1?][2]'
    """

    def __init__(self, source, bos="", eos="", today=None, adds_bos=False):
        try:
            import jinja2
            import jinja2.sandbox
        except ImportError:
            raise ImportError(
                "a checkpoint's own chat template needs jinja2 (extra `recipes`): "
                "pip install jinja2, or choose another template"
            ) from None
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = functools.partial(_date, today)
        # {% generation %} marks answers for transformers; they are found without it here.
        self._source = source
        source = re.sub(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}", r"{#\1 \2#}", source)
        self._error = jinja2.TemplateError
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template is no valid Jinja: {error}") from None
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._left_out = bos if adds_bos else ""

    def render(self, messages, prompt=False):
        """As `ChatTemplate.render`.

        Raises:
            ValueError: the template refuses the messages, such as a system's; it says why.
        """
        told = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = self._template.render(
                messages=told, add_generation_prompt=prompt, tools=None, **self._tokens
            )
            return text.removeprefix(self._left_out)
        except (self._error, TypeError, ValueError) as error:
            raise ValueError(f"the chat template refuses these messages: {error}") from None

    def to_jinja(self):
        """The source."""
        return self._source

    def spans(self, messages):
        """As `ChatTemplate.spans`.

        Raises:
            ValueError: the template writes earlier messages in another way when later ones follow,
                so that answers have no place; or it refuses the messages.
        """
        text, spans = self.render(messages), []
        for n, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self.render(messages[:n], prompt=True)
            whole = self.render(messages[: n + 1]).rstrip()
            if not (text.startswith(whole) and whole.startswith(before)):
                raise ValueError(
                    f"message {n}: the chat template writes what is before it in another way when "
                    "an answer follows, so it cannot be learned from; choose another template"
                )
            spans.append((len(before), len(whole)))
        return text, spans


def chat_tokens(tokenizer, template, messages):
    """A conversation as token ids, and which of them the assistant is to learn.

    An answer is learned with its end: the template's, if that is a special token, else the
    tokenizer's `eos_id`, which is put behind it.

    Args:
        tokenizer: a `Tokenizer`.
        template: a `ChatTemplate` or `JinjaChatTemplate`.
        messages: of one conversation.

    Returns:
        pair of lists (ids, is_learned), for `data.next_tokens`.

    Raises:
        ValueError: see the template's `spans`; or nothing can end an answer.

    Example:

    >>> from keras_transformer.data import Message
    >>> from keras_transformer.text import ByteTokenizer
    >>> template = ChatTemplate(user=("", "="), assistant=("", ""))
    >>> talk = [Message("user", "1+1"), Message("assistant", "2")]
    >>> tokenizer = ByteTokenizer(extra_ids=0)
    >>> ids, is_learned = chat_tokens(tokenizer, template, talk)
    >>> tokenizer.pieces(ids), is_learned
    (['1', '+', '1', '=', '2', '</s>'], [False, False, False, False, True, True])
    """
    text, spans = template.spans(messages)
    found, offsets = tokenizer.encode_with_offsets(text)
    found, special = list(found), frozenset(tokenizer.special_ids)
    ends = [end for _, end in offsets]
    is_learned = [False] * len(found)
    for start, end in reversed(spans):  # what is put in later does not move what is before it
        inside = [n for n, (first, last) in enumerate(offsets) if first < end and last > start]
        for n in inside:
            is_learned[n] = True
        if inside and found[inside[-1]] in special:
            continue
        if tokenizer.eos_id < 0:
            raise ValueError(
                "the chat template ends an answer with no special token of the tokenizer, which "
                "has no eos_id either: the model could not learn to stop"
            )
        behind = inside[-1] + 1 if inside else sum(last <= end for last in ends)
        found.insert(behind, tokenizer.eos_id)
        is_learned.insert(behind, True)
    added = _before(tokenizer)
    return added + found, [False] * len(added) + is_learned


def read_chat_template(folder, tokenizer, today=None):
    """The template that a tokenizer was published with, or None.

    Args:
        folder: with `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`.
        tokenizer: the folder's; where it puts its `bos_id` before a text itself, the template
            does not write it there once more.
        today: as in `JinjaChatTemplate`; give a date where a template must not change overnight.

    Raises:
        ImportError: there is one, and jinja2 is not installed.
        ValueError: a file is damaged, or the template no valid Jinja.

    Example:

    >>> import tempfile
    >>> from keras_transformer.text import ByteTokenizer
    >>> read_chat_template(tempfile.mkdtemp(), ByteTokenizer()) is None
    True
    """
    folder, source = Path(folder), None
    if (folder / JINJA).is_file():
        source = files.read_text(folder / JINJA)
    elif (folder / files.SETTINGS).is_file():
        source = files.read_json_object(folder / files.SETTINGS).get("chat_template")
    if isinstance(source, list):  # several, by name
        source = {each.get("name"): each.get("template") for each in source}.get("default")
    if not isinstance(source, str) or not source:
        return None
    bos, eos = (_name(tokenizer, id) for id in (tokenizer.bos_id, tokenizer.eos_id))
    return JinjaChatTemplate(source, bos, eos, today, tokenizer.bos_id in _before(tokenizer))


def _before(tokenizer):
    """The special tokens that the tokenizer puts before a text, as `tasks.TextGenerator` has it."""
    parts = [part for part, _ in tokenizer.template.single]
    return parts[: next(n for n, part in enumerate(parts) if isinstance(part, str))]


def _name(tokenizer, id):
    return "" if id < 0 else tokenizer.pieces([id])[0]


def _literal(text):
    return json.dumps(text, ensure_ascii=False)


def _to_json(value, indent=None, **options):
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _date(today, form):
    import datetime

    return (today or datetime.datetime.now()).strftime(form)


def _refuse(message):
    raise ValueError(message)
