"""What looks like a secret in typed words, and what only looks a little like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.evaluation.secret_words import secret_in, without_secrets

SERVE = "vllm serve {model} --port {port}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--api-key hunter2", "--api-key ..."),
        ("--api-key=hunter2", "--api-key ..."),
        ("--api_key 'hunter2'", "--api_key ..."),
        ("'--api-key' hunter2", "--api-key ..."),
        ('--api-key="hunter2"', "--api-key ..."),
        ("--hf-token hunter2", "--hf-token ..."),
        ("--admin-api-key hunter2", "--admin-api-key ..."),
        ("-token hunter2", "-token ..."),
        ("--password hunter2", "--password ..."),
        ("--header 'Authorization: Bearer hunter2'", "Authorization ..."),
        ('--header "X-Api-Key: hunter2"', "X-Api-Key ..."),
        ('--extra \'{"api_key": "hunter2"}\'', "api_key ..."),
        ("--proxy http://bob:hunter2@host:3128", "http://...@"),
        ("--proxy socks5://:hun/ter2@host", "socks5://...@"),
        ("--proxy https://hunter2@host", "https://...@"),
        ("--url http://host/v1?api_key=hunter2", "api_key ..."),
        ("--with 'Bearer hunter2hunter2'", "Bearer ..."),
        ("--anything sk-proj-hunter2hunter2hunter2", "a word like sk-..."),
        ("--anything hf_hunter2hunter2hunter2hunter2hunter2", "a word like hf_..."),
    ],
)
def test_a_secret_is_found_and_named_without_it(words: str, told: str) -> None:
    for text in (f"{SERVE} {words}", f"{words} {SERVE}", f"env A=b {words} {SERVE}"):
        found = secret_in(text)
        assert found == told


@pytest.mark.parametrize("before", ["HF_TOKEN=hunter2", "env HF_TOKEN=hunter2", "sh -c 'HF_TOKEN=hunter2 serve"])
def test_a_variable_set_in_front_of_the_command(before: str) -> None:
    assert secret_in(f"{before} {SERVE}") == "HF_TOKEN ..."


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--api-key $VLLM_API_KEY",
        "--api-key ${VLLM_API_KEY}",
        "--api-key=$KEY",
        "sh -c 'serve --api-key \"$KEY\"'",
        "--api-key-file /etc/key",
        "--ssl-key /etc/key.pem",
        "--ssl-keyfile key.pem",
        "--hf-token --trust-remote-code",
        "--hf-token",
        "--hf-token True",
        "--max-tokens 100",
        "--pad-token '</s>'",
        "--max-num-batched-tokens=2048",
        "--tokenizer-mode auto",
        "--served-model-name sk-learn",
        "--host http://127.0.0.1:8000/v1",
        "--from ssh://git@host/models",
        "env CUDA_VISIBLE_DEVICES=0",
        "python serve.py key",
    ],
)
def test_what_is_no_secret(words: str) -> None:
    assert secret_in(f"{SERVE} {words}") is None


@given(text=st.text(alphabet="abk ey-=:'\"${}/@sto\n", max_size=80))
def test_any_text_can_be_looked_at(text: str) -> None:
    found = secret_in(text)
    assert found is None or found.endswith(("...", "...@"))


def test_a_very_long_command_is_looked_at_in_no_time() -> None:
    for text in ("a-" * 50_000, " key" * 30_000, "-" * 100_000, "x" * 100_000, "key=" * 30_000 + "$", '"' * 100_000):
        assert secret_in(text) in (None, "key ...")


def test_values_of_the_environment_leave_a_text() -> None:
    environment = {"VLLM_API_KEY": "hunter2\n", "HF_TOKEN": "hunter2hunter3", "SHORT_KEY": "a", "EMPTY_KEY": "",
                   "PWD": "/home/bob"}  # fmt: skip
    text = "args: ['hunter2', 'hunter2hunter3', 'a'] in /home/bob"
    assert without_secrets(text, environment) == "args: ['($VLLM_API_KEY)', '($HF_TOKEN)', 'a'] in /home/bob"
