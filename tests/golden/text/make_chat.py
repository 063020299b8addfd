#!/usr/bin/env python3
"""Makes the goldens of the chat forms with transformers' apply_chat_template.

    make_chat.py OUT

OUT  written: chat.json: talks, lists of [role, text, pictures], and forms, each {form, template, start, end,
     texts} with a text for every talk

The templates are written here: each writes what the family's models were trained on, in the way in which
their own templates do. Pictures stand in the text as <image>."""
import json
import pathlib
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

ALTERNATE = ("{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
             "{% endif %}")
SPLIT = ("{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set system = messages[0]['content'] %}"
         "{% else %}{% set turns = messages %}{% set system = '' %}{% endif %}")

VICUNA = ("{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] + ' ' }}"
          "{% elif m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}{% else %}"
          "{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
          "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")
LLAVA = ("{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'].upper() + ': ' }}{% endif %}"
         "{% for part in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
         "{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
         "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}{# USER: #}")
LLAMA2 = (SPLIT + "{% for m in turns %}" + ALTERNATE +
          "{% if loop.index0 == 0 and system %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + m['content'] %}"
          "{% else %}{% set content = m['content'] %}{% endif %}{% if m['role'] == 'user' %}"
          "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% else %}"
          "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
# Three generations of it: spaces inside the marks, none before the second, none at all.
MISTRAL_1 = (SPLIT + "{{ bos_token }}{% for m in turns %}" + ALTERNATE +
             "{% if m['role'] == 'user' %}{{ ' [INST] ' }}{% if loop.first and system %}{{ system + '\\n\\n' }}{% endif %}"
             "{{ m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}")
MISTRAL_3 = (SPLIT + "{{ bos_token }}{% for m in turns %}" + ALTERNATE +
             "{% if m['role'] == 'user' %}{{ '[INST] ' }}{% if loop.last and system %}{{ system + '\\n\\n' }}{% endif %}"
             "{{ m['content'] + '[/INST]' }}{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}")
MISTRAL_TEKKEN = (SPLIT + "{{ bos_token }}{% for m in turns %}" + ALTERNATE +
                  "{% if m['role'] == 'user' %}{{ \"[INST]\" }}{% if loop.last and system %}{{ system + \"\\n\\n\" }}{% endif %}"
                  "{{ m['content'] + \"[/INST]\" }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}")
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
QWEN2 = ("{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
         "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}" + CHATML.removeprefix("{% for m in messages %}"))
QWEN25 = ("{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}"
          "{%- endif %}{{- '<|im_end|>\\n' }}{%- else %}{%- if messages[0]['role'] == 'system' %}"
          "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}{%- else %}"
          "{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}"
          "{%- endif %}{%- endif %}{%- for m in messages %}{%- if not (m.role == 'system' and loop.first) %}"
          "{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{%- endif %}{%- endfor %}"
          "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")
LLAMA3 = ("{% for m in messages %}{% set content = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + "
          "m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
          "{{ content }}{% endfor %}{% if add_generation_prompt %}"
          "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")
LLAMA31 = (SPLIT.replace("messages[0]['content']", "messages[0]['content'] | trim") +
           "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}"
           "{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: ' "
           "+ date_string + '\\n\\n' + system + '<|eot_id|>' }}{% for m in turns %}"
           "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")
PHI3 = ("{% for m in messages %}{% if m['role'] == 'system' %}{{ '<|system|>\\n' + m['content'] + '<|end|>\\n' }}"
        "{% elif m['role'] == 'user' %}{{ '<|user|>\\n' + m['content'] + '<|end|>\\n' }}{% else %}"
        "{{ '<|assistant|>\\n' + m['content'] + '<|end|>\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}")
ZEPHYR = ("{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}{# <|user|> #}")

FORMS = [
    ("vicuna", VICUNA, "<s>", "</s>"), ("llava", LLAVA, "", "</s>"), ("llama-2", LLAMA2, "<s>", "</s>"),
    ("mistral", MISTRAL_1, "<s>", "</s>"), ("mistral", MISTRAL_3, "<s>", "</s>"),
    ("mistral", MISTRAL_TEKKEN, "<s>", "</s>"), ("chatml", CHATML, "", "<|im_end|>"),
    ("chatml", QWEN2, "", "<|im_end|>"), ("chatml", QWEN25, "", "<|im_end|>"),
    ("llama-3", LLAMA3, "<|begin_of_text|>", "<|eot_id|>"), ("llama-3", LLAMA31, "<|begin_of_text|>", "<|eot_id|>"),
    ("phi-3", PHI3, "<s>", "<|endoftext|>"), ("zephyr", ZEPHYR, "<s>", "</s>"),
]

TALKS = [
    [("user", "Hello, who are you?", 0)],
    [("system", "Be brief.", 0), ("user", "What is 2 + 2?", 0)],
    [("user", "one", 0), ("assistant", "two", 0), ("user", "three", 0)],
    [("system", "Be kind\nand brief.", 0), ("user", "Grüße, 世界 🙂", 0), ("assistant", " spaced out ", 0),
     ("user", "  and\n again \n", 0), ("assistant", "yes", 0), ("user", "bye", 0)],
    [("user", "What is in the picture?", 1)],
    [("system", "Look well.", 0), ("user", "Which differ?", 2), ("assistant", "none", 0), ("user", "And this?", 1)],
]


def main():
    bare = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
    forms = []
    for form, template, start, end in FORMS:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare)
        tokenizer.bos_token, tokenizer.eos_token = start, end
        texts = []
        for talk in TALKS:
            if form == "llava":
                messages = [{"role": role, "content": [{"type": "image"}] * pictures + [{"type": "text", "text": text}]}
                            for role, text, pictures in talk]
            else:
                messages = [{"role": role, "content": "<image>\n" * pictures + text} for role, text, pictures in talk]
            texts.append(tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False,
                                                       add_generation_prompt=True))
        forms.append({"form": form, "template": template, "start": start, "end": end, "texts": texts})
    golden = {"talks": TALKS, "forms": forms}
    pathlib.Path(sys.argv[1], "chat.json").write_text(json.dumps(golden, indent=0, ensure_ascii=False) + "\n")


main()
