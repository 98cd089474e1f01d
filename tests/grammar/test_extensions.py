"""What a server announces, in the forms that servers have for it."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtplibaio.exceptions import SMTPCommandNotSupportedError
from smtplibaio.grammar.extensions import MAX_KEYWORDS, Extensions, Limits, require
from smtplibaio.grammar.replies import Reply

many = settings(deadline=None, max_examples=200)


def announced(*lines: str) -> Extensions:
    return Extensions.from_reply(Reply(250, "\n".join(("mx.example", *lines))))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], {}, id="D17-nothing"),
        pytest.param(["PIPELINING"], {"PIPELINING": ()}, id="D17-keyword"),
        pytest.param(["SIZE 1000"], {"SIZE": ("1000",)}, id="D17-parameter"),
        pytest.param(["8BITMIME"], {"8BITMIME": ()}, id="D17-digit-first"),
        pytest.param(
            ["AUTH=LOGIN PLAIN"], {"AUTH": ("LOGIN", "PLAIN")}, id="D17-AUTH="
        ),
        pytest.param(
            ["AUTH LOGIN PLAIN", "AUTH=LOGIN CRAM-MD5"],
            {"AUTH": ("LOGIN", "PLAIN", "CRAM-MD5")},
            id="D17-AUTH-twice",
        ),
        pytest.param(["AUTH"], {"AUTH": ()}, id="D17-AUTH-empty"),
        pytest.param(["AUTH="], {"AUTH": ()}, id="D17-AUTH=-empty"),
        pytest.param(["auth plain"], {"AUTH": ("plain",)}, id="D17-lower-case"),
        pytest.param(["SIZE\t10\t 20"], {"SIZE": ("10", "20")}, id="D17-tabs"),
        pytest.param(["SIZE  10   20"], {"SIZE": ("10", "20")}, id="D17-spaces"),
        pytest.param(["DSN "], {"DSN": ()}, id="D17-trailing-space"),
        pytest.param([" DSN"], {"DSN": ()}, id="D17-leading-space"),
        pytest.param(["DSN\r"], {"DSN": ()}, id="D17-trailing-CR"),
        pytest.param(["X-EXPS GSSAPI"], {"X-EXPS": ("GSSAPI",)}, id="D17-hyphen"),
        pytest.param(["X_EXPS 1"], {"X_EXPS": ("1",)}, id="D17-underscore"),
        pytest.param(
            ["LIMITS A=1", "LIMITS B=2", "limits A=1"],
            {"LIMITS": ("A=1", "B=2")},
            id="D17-duplicate-keyword",
        ),
        pytest.param(["-DSN", "_X", ".", "", "ö 1"], {}, id="D17-no-keyword"),
        pytest.param(["DSN. 1", "mx.example", "A,B", "A/B"], {}, id="D17-no-separator"),
        pytest.param(
            ["!!!", "DSN", "\x1b[2J", "\udcff", "SIZE"],
            {"DSN": (), "SIZE": ()},
            id="D17-junk-between",
        ),
        pytest.param(["XSTARTTLS now"], {"XSTARTTLS": ("now",)}, id="D17-anchored"),
    ],
)
def test_keywords_are_read_line_by_line(
    lines: list[str], expected: dict[str, tuple[str, ...]]
) -> None:
    assert announced(*lines) == expected


@pytest.mark.parametrize(
    "greeting",
    [
        "STARTTLS",
        "STARTTLS.example.com Hello",
        "STARTTLS AUTH PLAIN",
        "AUTH=PLAIN",
        "PIPELINING",
    ],
)
def test_the_first_line_is_never_a_keyword(greeting: str) -> None:
    """D17: it is the server's name, and anybody may call a server STARTTLS."""
    assert Extensions.from_reply(Reply(250, greeting)) == {}
    assert Extensions.from_reply(Reply(250, f"{greeting}\nDSN")) == {"DSN": ()}


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        pytest.param([], None, id="D17-no-SIZE"),
        pytest.param(["SIZE"], None, id="D17-SIZE-without-value"),
        pytest.param(["SIZE 0"], None, id="D17-SIZE-0"),
        pytest.param(["SIZE 000"], None, id="D17-SIZE-000"),
        pytest.param(["SIZE abc"], None, id="D17-SIZE-abc"),
        pytest.param(["SIZE -1"], None, id="D17-SIZE-negative"),
        pytest.param(["SIZE +1"], None, id="D17-SIZE-plus"),
        pytest.param(["SIZE 1_0"], None, id="D17-SIZE-underscore"),
        pytest.param(["SIZE 1e3"], None, id="D17-SIZE-exponent"),
        pytest.param(["SIZE \u0661\u0660"], None, id="D17-SIZE-arabic"),
        pytest.param(["SIZE 1"], 1, id="D17-SIZE-1"),
        pytest.param(["SIZE=1000"], 1000, id="D17-SIZE="),
        pytest.param(["size 35882577"], 35882577, id="D17-size"),
        pytest.param(["SIZE " + "9" * 20], 10**20 - 1, id="D17-SIZE-20-digits"),
        pytest.param(["SIZE " + "9" * 21], None, id="D17-SIZE-21-digits"),
        pytest.param(["SIZE " + "9" * 5000], None, id="D17-SIZE-5000-digits"),
        pytest.param(["SIZE 10 MB"], None, id="D17-SIZE-with-a-unit"),
        pytest.param(["SIZE 10", "SIZE 20"], 10, id="D17-SIZE-twice"),
        pytest.param(["SIZE", "SIZE 10"], 10, id="D17-SIZE-on-the-second-line"),
    ],
)
def test_size_is_a_limit_or_none(lines: list[str], size: int | None) -> None:
    assert announced(*lines).size == size


def test_mechanisms_are_in_capitals_and_in_the_servers_order() -> None:
    """D17: AUTH twice, and the same mechanism in two spellings."""
    assert announced("AUTH plain LOGIN", "AUTH=PLAIN Cram-MD5").auth == (
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
    )
    assert announced("DSN").auth == ()


def test_no_more_keywords_are_kept_than_a_server_can_mean() -> None:
    """D17: the first ones are kept, up to the bound and not beyond."""
    for count in (MAX_KEYWORDS - 1, MAX_KEYWORDS, MAX_KEYWORDS + 1, 10_000):
        keywords = [f"X{number}" for number in range(count)]
        assert list(announced(*keywords)) == keywords[:MAX_KEYWORDS]


def test_a_known_keyword_may_come_again_at_the_bound() -> None:
    """D17: another line of parameters is no other keyword."""
    keywords = [f"X{number}" for number in range(MAX_KEYWORDS)]
    extensions = announced(*keywords, "X0 more")
    assert len(extensions) == MAX_KEYWORDS
    assert extensions["X0"] == ("more",)


def test_keywords_are_looked_up_in_any_case() -> None:
    extensions = Extensions({"size": ("10",), "Dsn": ()})
    assert extensions["SIZE"] == extensions["Size"] == ("10",)
    assert "dsn" in extensions
    assert "PIPELINING" not in extensions
    assert extensions.get("pipelining") is None
    with pytest.raises(KeyError):
        extensions["PIPELINING"]
    assert list(extensions) == ["SIZE", "DSN"]
    assert len(extensions) == 2


@pytest.mark.parametrize("key", [None, 8, b"DSN", ("DSN",)])
def test_what_is_no_text_is_no_keyword(key: object) -> None:
    assert key not in announced("DSN")


def test_extensions_are_a_mapping_that_shows_and_compares() -> None:
    extensions = announced("SIZE 10", "DSN")
    assert extensions == Extensions({"DSN": (), "SIZE": ("10",)})
    assert extensions != announced("DSN")
    assert repr(extensions) == "Extensions({'SIZE': ('10',), 'DSN': ()})"
    assert repr(Extensions()) == "Extensions({})"
    assert pickle.loads(pickle.dumps(extensions)) == extensions == copy.copy(extensions)


def test_extensions_do_not_follow_the_mapping_they_were_made_of() -> None:
    source: dict[str, tuple[str, ...]] = {"DSN": ()}
    extensions = Extensions(source)
    source["SIZE"] = ("1",)
    assert "SIZE" not in extensions


def test_the_extensions_of_the_documented_package_are_lower_case_text() -> None:
    extensions = announced("SIZE 10", "AUTH=LOGIN PLAIN", "DSN")
    assert extensions.by_lower_case == {"size": "10", "auth": "LOGIN PLAIN", "dsn": ""}


@many
@given(st.lists(st.text(max_size=30) | st.sampled_from(["AUTH=", "SIZE 9"])))
def test_any_reply_to_ehlo_can_be_read(lines: list[str]) -> None:
    """D17: keywords are ASCII in capitals, parameters have no space in them."""
    extensions = announced(*lines)
    for keyword, parameters in extensions.items():
        assert keyword.isascii()
        assert keyword == keyword.upper() != ""
        assert all(parameter.split() == [parameter] for parameter in parameters)
        assert len(set(parameters)) == len(parameters)
    assert extensions.size is None or extensions.size > 0
    assert all(name == name.upper() for name in extensions.auth)


# LIMITS


@pytest.mark.parametrize(
    ("parameters", "limits"),
    [
        ("", Limits()),
        ("MAILMAX=50", Limits(mailmax=50)),
        ("RCPTMAX=100 MAILMAX=1", Limits(1, 100)),
        ("rcptdomainmax=1 RcptMax=999999", Limits(None, 999999, 1)),
        ("MAILMAX=50 MAILMAX=60", Limits(mailmax=50)),
        ("MAILMAX=0 RCPTMAX=2", Limits(rcptmax=2)),
        ("MAILMAX=1000000", Limits()),
        ("MAILMAX=-1 RCPTMAX=+1 RCPTDOMAINMAX=1_0", Limits()),
        ("MAILMAX= RCPTMAX RCPTDOMAINMAX=x", Limits()),
        ("MAILMAX=\u0665 RCPTMAX=\u00b2", Limits()),
        ("OTHER=5 _FIELDS=3 MAILMAX=7", Limits(mailmax=7)),
    ],
)
def test_a_server_may_tell_how_much_it_takes(parameters: str, limits: Limits) -> None:
    """RFC 9422: what cannot be read says nothing."""
    extensions = Extensions.from_reply(Reply(250, f"mx\nLIMITS {parameters}"))
    assert extensions.limits == limits


def test_a_server_that_tells_no_limits_has_none() -> None:
    assert Extensions().limits == (None, None, None)


@pytest.mark.parametrize(
    ("line", "found", "missing"),
    [
        ("XVERP=COURIER", ["XVERP", "xverp=courier", "XVERP=COURIER"], ["XVERP=X"]),
        ("XVERP Courier", ["XVERP=COURIER"], ["XVERP="]),
        ("XVERP", ["XVERP"], ["XVERP=COURIER", "XVERP="]),
        ("XEXDATA", ["XEXDATA", "xexdata"], ["XEXDATA=1", "XVERP"]),
        ("AUTH=LOGIN PLAIN", ["AUTH", "AUTH=PLAIN", "auth=login"], ["AUTH=X", "LOGIN"]),
    ],
)
def test_a_keyword_is_found_with_its_value_or_without(
    line: str, found: list[str], missing: list[str]
) -> None:
    """Courier announces XVERP=COURIER, and means what it swallows behind the dot."""
    extensions = Extensions.from_reply(Reply(250, f"mx\n{line}"))
    assert [name for name in found if name not in extensions] == []
    assert [name for name in missing if name in extensions] == []


def test_what_was_not_announced_is_refused_by_name() -> None:
    require("SIZE", announced("SIZE"), "of course")
    with pytest.raises(
        SMTPCommandNotSupportedError, match="announce DSN: RET needs it"
    ):
        require("DSN", announced("SIZE"), "RET needs it")
