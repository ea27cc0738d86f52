import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.documents.document import DocumentError
from autoscaler.runtime.bearer_tokens import BearerTokens

OLD, NEW = "old-token-0123456789", "new-token-0123456789"


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{OLD}\n")
    return file


def test_the_first_token_is_sent_and_each_is_accepted(file):
    file.write_text(f"{NEW}\n\n  {OLD}  \n")
    tokens = BearerTokens(file)
    assert tokens.header() == f"Bearer {NEW}"
    assert tokens.accepts(f"Bearer {NEW}")
    assert tokens.accepts(f"bearer  {OLD}")


@pytest.mark.parametrize(
    "header", ["", "Bearer", f"Basic {OLD}", OLD, f"Bearer {OLD}x", f"Bearer {OLD[:-1]}", "Bearer é"]
)
def test_nothing_else_is_accepted(file, header):
    assert not BearerTokens(file).accepts(header)


@given(st.text())
def test_whatever_somebody_sends_gets_an_answer(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(OLD)
    assert BearerTokens(file).accepts(f"Bearer {text}") == (text.strip() == OLD)


def test_a_rotation_needs_no_restart_and_has_no_gap(file):
    server, client = BearerTokens(file), BearerTokens(file)
    for content in (f"{OLD}\n{NEW}\n", f"{NEW}\n{OLD}\n", f"{NEW}\n"):
        before = client.header()
        file.write_text(content)
        assert server.accepts(before) == (before.split()[1] in content)
        assert server.accepts(client.header())
    assert client.header() == f"Bearer {NEW}"
    assert not server.accepts(f"Bearer {OLD}")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ": has no token; write one a line"),
        (f"{OLD}\nshort\n", ":2: must be 16 to 1024 letters, digits or - . _ ~ + /, and = at its end"),
        ("two words are no token, however long", ":1: must be 16 to 1024 letters"),
        ("é" * 20, ": has a byte that is not ASCII"),
    ],
)
def test_a_file_without_usable_tokens_is_refused_without_showing_them(file, content, problem, caplog):
    tokens = BearerTokens(file)
    file.write_text(content)
    with pytest.raises(DocumentError) as refused:
        BearerTokens(file)
    assert f"{file}{problem}" in str(refused.value)
    assert tokens.accepts(f"Bearer {OLD}"), "the last valid ones stay in force"
    assert "the last valid ones stay in force" in caplog.text
    for text in (str(refused.value), caplog.text):
        assert not [word for word in content.split() if len(word) > 4 and word in text.replace("words", "")]


def test_a_file_that_is_gone_changes_nothing(file):
    tokens = BearerTokens(file)
    file.unlink()
    assert tokens.accepts(f"Bearer {OLD}")
