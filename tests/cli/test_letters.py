"""What there is to send, from files and from the command line itself."""

from __future__ import annotations

from email.message import EmailMessage
from io import BytesIO
from pathlib import Path

import pytest

from smtplibaio import SMTPArgumentError
from smtplibaio.cli.composing import composed
from smtplibaio.cli.letters import Letter, letters_in, letters_of_stream, loaded

MESSAGE = b"From: a@x.example\nTo: b@y.example, c@y.example\nSubject: s\n\nhi\n"
MBOX = b"From a@x.example Thu Jan  1 00:00:00 2026\n" + MESSAGE + b"\n"


def names(path: Path) -> list[str]:
    return [letter.name.removeprefix(f"{path}/") for letter in letters_in(path)]


def test_a_file_is_a_message(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(MESSAGE)
    (letter,) = letters_in(path)
    assert (letter.name, letter.size) == (str(path), len(MESSAGE))
    found = loaded(letter, None, ())
    assert found.message.as_bytes() == MESSAGE
    assert found.sender == "a@x.example"
    assert found.recipients == ("b@y.example", "c@y.example")


def test_an_mbox_is_as_many_as_it_has(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(MBOX * 2)
    letters = list(letters_in(path))
    assert [letter.name for letter in letters] == [
        f"{path}, message 1",
        f"{path}, message 2",
    ]
    assert [letter.read()[1] for letter in letters] == [MESSAGE, MESSAGE]


def test_a_directory_is_its_eml_files_in_order(tmp_path: Path) -> None:
    for name in ("b.eml", "a.EML", "c.txt"):
        (tmp_path / name).write_bytes(MESSAGE)
    assert names(tmp_path) == ["a.EML", "b.eml"]


def test_a_maildir_is_what_is_new_and_current_in_it(tmp_path: Path) -> None:
    for folder in ("new", "cur", "tmp"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1:2,S").write_bytes(MESSAGE)
    (tmp_path / "new" / ".hidden").write_bytes(MESSAGE)
    assert names(tmp_path) == ["cur/1:2,S", "new/1:2,S"]


def test_what_has_no_message_in_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no \.eml files"):
        list(letters_in(tmp_path))
    (tmp_path / "a.eml").touch()
    with pytest.raises(ValueError, match=r"a\.eml is empty"):
        list(letters_in(tmp_path))
    with pytest.raises(ValueError, match="stdin is empty"):
        letters_of_stream(BytesIO(), "stdin")
    with pytest.raises(FileNotFoundError):
        list(letters_in(tmp_path / "b.eml"))


def test_a_stream_is_a_message_or_an_mbox() -> None:
    (letter,) = letters_of_stream(BytesIO(MESSAGE), "stdin")
    assert (letter.name, letter.size) == ("stdin", len(MESSAGE))
    assert letter.read()[1] == MESSAGE
    letters = letters_of_stream(BytesIO(MBOX * 2), "stdin")
    assert [letter.name for letter in letters] == [
        "stdin, message 1",
        "stdin, message 2",
    ]
    assert letters[1].read()[1] == MESSAGE


def test_the_command_line_decides_on_the_envelope() -> None:
    (letter,) = letters_of_stream(BytesIO(MESSAGE), "stdin")
    found = loaded(letter, "", ["d@z.example", "d@z.example"])
    assert (found.sender, found.recipients) == ("", ("d@z.example",))


def test_a_digest_tells_messages_and_envelopes_apart() -> None:
    (letter,) = letters_of_stream(BytesIO(MESSAGE), "stdin")
    (other,) = letters_of_stream(BytesIO(MESSAGE + b"."), "stdin")
    digests = {
        loaded(letter, None, ()).digest,
        loaded(letter, "z@x.example", ()).digest,
        loaded(letter, None, ["b@y.example"]).digest,
        loaded(other, None, ()).digest,
    }
    assert len(digests) == 4
    assert loaded(letter, None, ()).digest in digests


def test_a_message_without_a_sender_is_an_error() -> None:
    (letter,) = letters_of_stream(BytesIO(b"To: b@y.example\n\nhi\n"), "stdin")
    with pytest.raises(SMTPArgumentError, match="pass sender="):
        loaded(letter, None, ())


def made(
    *attachments: Path, text: str | None = None, html: str | None = None
) -> Letter:
    return composed("a@x.example", ["b", "c"], "S", text, html, attachments)


def message_of(letter: Letter) -> EmailMessage:
    message = letter.read()[0]
    assert isinstance(message, EmailMessage)
    return message


def test_a_message_is_made_of_the_options() -> None:
    message = message_of(made(text="hi"))
    assert dict(message.items())["From"] == "a@x.example"
    assert message["To"] == "b, c"
    assert message["Subject"] == "S"
    assert message.get_content() == "hi\n"


@pytest.mark.parametrize(
    ("text", "html", "kinds"),
    [
        (None, None, ["text/plain"]),
        (None, "<p>hi", ["text/html"]),
        ("hi", "<p>hi", ["multipart/alternative", "text/plain", "text/html"]),
    ],
)
def test_text_and_html_are_alternatives(
    text: str | None, html: str | None, kinds: list[str]
) -> None:
    message = message_of(made(text=text, html=html))
    assert [part.get_content_type() for part in message.walk()] == kinds


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.pdf", "application/pdf"),
        ("a.txt", "text/plain"),
        ("a.tar.gz", "application/octet-stream"),
        ("a.eml", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_attachments_keep_their_octets(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"From \r\n\xff.\n")
    message = message_of(made(path, text="hi"))
    (attachment,) = message.iter_attachments()
    assert attachment.get_content_type() == kind
    assert attachment.get_filename() == name
    assert attachment.get_payload(decode=True) == path.read_bytes()


def test_a_made_message_has_the_same_digest_in_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"1")
    digest = loaded(made(path, text="hi"), "a@x.example", ["b"]).digest
    assert loaded(made(path, text="hi"), "a@x.example", ["b"]).digest == digest
    assert loaded(made(text="hi"), "a@x.example", ["b"]).digest != digest


def test_no_subject_and_no_field_is_made_of_nothing() -> None:
    letter = composed("a@x.example", ["b"], None, "hi", None, [])
    assert "Subject" not in letter.read()[0]
