"""Where credentials are found, in which order, and the error if there are none."""

import io
import sys
import types

import pytest

from sedas_sync.errors import AuthenticationError
from sedas_sync.net import credentials
from sedas_sync.net.credentials import Credentials, find

HOST = "archive.example.org"
BOTH = {"SEDAS_USERNAME": "ann", "SEDAS_PASSWORD": "from the environment", "SEDAS_HOST": HOST}


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch):
    """Hide the keyring of this machine."""
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest.fixture
def netrc(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "netrc"
        path.write_text(text)
        path.chmod(mode)
        return {"NETRC": str(path)}

    return write


def terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("bob\n"))
    monkeypatch.setattr(sys, "stderr", Terminal())


def refused(**arguments):
    with pytest.raises(AuthenticationError) as raised:
        find(HOST, **arguments)
    return str(raised.value)


def test_environment_comes_first(netrc):
    entry = netrc(f"machine {HOST} login bob password from-netrc")
    found = find(HOST, prompt=False, environ={**entry, **BOTH})
    assert found == Credentials("ann", "from the environment")


def test_environment_for_another_host_is_skipped(netrc):
    entry = netrc(f"machine {HOST} login bob password from-netrc")
    found = find(HOST, prompt=False, environ={**entry, **BOTH, "SEDAS_HOST": "other.example"})
    assert (found, found.hosts) == (Credentials("bob", "from-netrc"), None)
    message = refused(prompt=False, environ={**BOTH, "SEDAS_HOST": "other.example", "HOME": "/nowhere"})
    assert f"set SEDAS_HOST=other.example,{HOST}" in message
    assert "from the environment" not in message


@pytest.mark.parametrize("blank", ["SEDAS_USERNAME", "SEDAS_PASSWORD"])
def test_incomplete_environment_is_skipped_and_empty_counts_as_not_set(netrc, blank):
    entry = netrc(f"machine {HOST} login bob password from-netrc")
    found = find(HOST, prompt=False, environ={**entry, **BOTH, blank: ""})
    assert found == Credentials("bob", "from-netrc")


def test_netrc_of_the_home_folder(tmp_path):
    path = tmp_path / ".netrc"
    path.write_text(f"machine other login x password y\nmachine {HOST} login bob password here\n")
    path.chmod(0o600)
    assert find(HOST, prompt=False, environ={"HOME": str(tmp_path), "NETRC": ""}).password == "here"


def test_message_lists_all_searched_places(tmp_path):
    message = refused(prompt=False, environ={"HOME": str(tmp_path)})
    assert HOST in message
    assert "SEDAS_USERNAME and SEDAS_PASSWORD are not set" in message
    assert f"{tmp_path / '.netrc'} (no such file)" in message
    assert "the system keyring needs the extra \"keyring\": pip install 'sedas-sync[keyring]'" in message
    assert "prompt" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("machine elsewhere login a password b", f"no entry for {HOST}"),
        (f"machine {HOST}:443 login a password b", f"no entry for {HOST}; an entry has it with more"),
        (f"machine https://bob:secretword@{HOST}/api login a password b", "write the host alone"),
        (f"machine {HOST} login bob", "no password"),
        (f"secretword {HOST} login bob password x", "line 1 is not valid"),
        (f"machine {HOST} login bob secretword x", "line 1 is not valid"),
    ],
)
def test_netrc_that_does_not_help_is_explained_without_quoting_it(netrc, text, words):
    message = refused(prompt=False, environ=netrc(text))
    assert words in message
    assert "secretword" not in message


def test_missing_half_of_the_environment_is_named(tmp_path):
    message = refused(prompt=False, environ={"SEDAS_USERNAME": "ann", "HOME": str(tmp_path)})
    assert "SEDAS_PASSWORD is not set" in message


def keyring(monkeypatch, answer):
    module, errors = types.ModuleType("keyring"), types.ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})
    asked = []

    def get_credential(service, username):
        asked.append((service, username))
        if answer == "locked":
            raise errors.KeyringError("a detail")
        return answer

    module.get_credential, module.errors = get_credential, errors
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    return asked


def test_keyring_comes_after_netrc(monkeypatch, tmp_path):
    asked = keyring(monkeypatch, types.SimpleNamespace(username="eve", password="kept"))
    found = find(HOST, prompt=True, environ={"HOME": str(tmp_path)})
    assert found == Credentials("eve", "kept")
    assert asked == [(credentials.keyring_service(HOST), None)]


@pytest.mark.parametrize(("answer", "words"), [(None, "nothing under"), ("locked", "cannot be used: KeyringError")])
def test_keyring_that_does_not_help_is_explained(monkeypatch, tmp_path, answer, words):
    keyring(monkeypatch, answer)
    assert words in refused(prompt=False, environ={"HOME": str(tmp_path)})


def test_prompt_on_a_terminal(monkeypatch, tmp_path):
    terminal(monkeypatch)
    found = find(HOST, prompt=True, environ={"HOME": str(tmp_path)}, ask_password=lambda _question: "typed")
    assert found == Credentials("bob", "typed")
    assert HOST in sys.stderr.getvalue()


def test_no_prompt_without_a_terminal(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO("bob\n"))
    message = refused(prompt=True, environ={"HOME": str(tmp_path)}, ask_password=lambda _question: "typed")
    assert "this is not a terminal" in message


def test_repr_hides_the_password():
    assert "hidden-one" not in repr(Credentials("ann", "hidden-one"))
