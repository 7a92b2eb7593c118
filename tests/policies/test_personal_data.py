"""Personal data and secrets with a structure: what is found, what is let be, and in what time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.checksums import is_card_number, is_iban
from policies.rules.findings import Finding
from policies.rules.personal_data import MAX_FINDINGS, check_text
from tests.policies.making import untimed


def check(text: str) -> tuple[Finding, ...]:
    return check_text(text, file="questions.jsonl")


FOUND = [
    ("an e-mail address", "jo.bloggs+x@mail.acme-widgets.co.uk"),
    ("an e-mail address", "jörg@müller.de"),
    ("an e-mail address", "jo@example.com.au"),
    ("an e-mail address", "jo@notexample.com"),
    ("a telephone number", "+49 30 901820"),
    ("a telephone number", "+44 (0)20 7219 4272"),
    ("a telephone number", "+1 415-556-2671"),
    ("a telephone number", "+14155562671"),
    ("a telephone number", "+48 601 234 567"),
    ("a telephone number", "415-556-2671"),
    ("a telephone number", "(415) 556-2671"),
    ("a telephone number", "1.415.556.2671"),
    ("a telephone number", "020 7219 4272"),
    ("a telephone number", "(030) 9018 2023"),
    ("a telephone number", "01 42 34 20 00"),
    ("a payment card number", "4111111111111111"),
    ("a payment card number", "4111 1111 1111 1111"),
    ("a payment card number", "5500-0000-0000-0004"),
    ("a payment card number", "3782 822463 10005"),
    ("an IBAN", "DE89 3704 0044 0532 0130 00"),
    ("an IBAN", "GB82WEST12345698765432"),
    ("an IBAN", "NO9386011117947"),
    ("a public IP address", "93.184.216.34"),
    ("a public IP address", "2606:2800:220:1:248:1893:25c8:1946"),
    ("a public IP address", "2a00:1450::"),
    ("a US social security number", "536-90-4399"),
    ("a private key", "-----BEGIN PRIVATE KEY-----"),
    ("a private key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    ("a private key", "-----BEGIN PGP PRIVATE KEY BLOCK-----"),
    ("an access token", "sk-" + "proj-a1B2" * 5),
    ("an access token", "ghp_" + "a1B2" * 9),
    ("an access token", "AKIA" + "A1B2" * 4),
    ("an access token", "AIza" + "a1B2_" * 7),
    ("an access token", "hf_" + "aBcD" * 8),
    ("an access token", "xoxb-" + "123456789012-abc"),
    ("an access token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"),
]


@pytest.mark.parametrize(("what", "datum"), FOUND)
@pytest.mark.parametrize("around", ["{}", "Write to {}.", "({}), please", "a: '{}'", "é {} x"])
def test_a_datum_is_found_wherever_it_stands_and_never_repeated(
    what: str, datum: str, around: str
) -> None:
    (finding,) = check("nothing here\n" + around.format(datum))

    column = around.index("{}") + 1
    assert (finding.found, finding.line) == (f"{what} at column {column}", 2)
    assert finding.severity == "refuse"
    assert datum not in str(finding)


PASSES = [
    "jo@example.com, jo@mail.example.org, jo@shop.example, root@localhost, @handle, a@b",
    "192.0.2.1 and 198.51.100.7 and 203.0.113.9",
    "10.0.0.1, 172.16.5.4, 192.168.1.1, 127.0.0.1, 169.254.1.1, 0.0.0.0, 224.0.0.1",
    "2001:db8::1, 3fff:1::1, fe80::1, fd00::1, ::1, ::",
    "415-555-0123, (415) 555-0199, +1 415 555 0100, 1-800-555-0142",
    "020 7946 0958, +44 20 7946 0958, +44 (0)1632 960123, 07700 900461",
    "Version 1.2.3.4, v2.10.33.4, firmware 4.4.4.4, section 3.1.2.5, lib==1.2.3.4",
    "256.300.1.2 and 1.2.3.4.5",
    "It costs 1,299.00 EUR, weighs 12.5 kg and is 210-297 mm; tolerance +3.14159265 mm.",
    "On 2024-05-12 at 10:11:12.345678, ticket 2024-000123-77, 12/05/2024.",
    "Sizes 512 768 1024, 128 256 512 1024 2048; resolution 1920x1080.",
    "About +10 000 000 users, +100 000 000 requests, 1 000 000 000 rows.",
    "Order 4111111111111112, part 978-3-16-148410-0, ISBN 9783161484100, serial 1234567890123456",
    "00000000-0000-4000-8000-123456789012 and 4111111111111111abc",
    "3f2a91c0d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f",
    "GB00WEST12345698765432, DE00 3704 0044 0532 0130 00, ABCD1234EFGH",
    "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567, 123-45-0000, 1123-45-67890",
    "AKIAIOSFODNN7EXAMPLE, sk-learn, sk-a-long-name-with-many-words-in-it, ghp_short, eyJ.eyJ.x",
    "-----BEGIN PUBLIC KEY----- and -----BEGIN CERTIFICATE-----",
    "std::vector<int>, 12:34:56, a::b, dead::beef",
    "The user Ada Lovelace of 12 St James's Square was born on 10 December 1815.",
]


@pytest.mark.parametrize("text", PASSES)
def test_what_only_looks_like_one_passes(text: str) -> None:
    assert check(text) == ()


def test_a_number_is_found_beside_other_digits() -> None:
    findings = check("2024 4111 1111 1111 1111 123, IBAN AB12 3456 DE89 3704 0044 0532 0130 00 EUR")

    assert [finding.found for finding in findings] == [
        "a payment card number at column 6",
        "an IBAN at column 46",
    ]


def test_each_place_is_named_once_in_the_order_of_reading() -> None:
    findings = check("jo@acme.de 93.184.216.34\n\njo@acme.de")

    assert [(finding.line, finding.found) for finding in findings] == [
        (1, "an e-mail address at column 1"),
        (1, "a public IP address at column 12"),
        (3, "an e-mail address at column 1"),
    ]


def test_lines_count_from_where_the_text_begins() -> None:
    (finding,) = check_text("jo@acme.de", file="questions.jsonl", first_line=41)

    assert finding.line == 41


@pytest.mark.parametrize("text", ["jo@acme.de\n" * 1000, "jo@acme.de " * 1000])
def test_after_a_hundred_places_the_reading_stops_and_says_so(text: str) -> None:
    findings = check(text)

    assert len(findings) == MAX_FINDINGS
    assert "the rest was not read" in findings[-1].found


HOSTILE = [
    "a", "1", "a@", "a.", "@a.", "1 ", "1-", "1111 ", "1.", "+1", "+2 ", "(0", "01 ", "0123 ",
    "A1", "AA11", "AA11 ", "a:", "2000:", ":", "eyJ", "eyJa.", "sk-", "ghp_a", "xoxb-",
    "-----BEGIN ", "BEGIN A ", "-", " ", "%", "'", "415-", "415-555-", "AKIA", "é",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_a_text_made_to_be_slow_is_read_to_its_end(part: str) -> None:
    """Anything worse than linear would take hours at this length, not a fraction of a second."""
    (finding,) = check(part * (200_000 // len(part)) + "\njo@acme.de")[-1:]

    assert finding.line == 2


@untimed
@given(st.text(alphabet=st.sampled_from("ab1290@.+-() :\nAGB/'"), max_size=200))
def test_no_text_makes_the_check_fail(text: str) -> None:
    for finding in check(text):
        assert finding.line is not None
        assert 1 <= finding.line <= text.count("\n") + 1


@untimed
@given(st.integers(10**11, 10**14 - 1), st.integers(0, 9))
def test_of_ten_last_digits_one_makes_a_card(number: int, start: int) -> None:
    digits = f"4{start}{number}"

    assert sum(is_card_number(f"{digits}{last}") for last in range(10)) == 1


@untimed
@given(st.integers(0, 10**18 - 1), st.integers(0, 8))
def test_a_changed_digit_is_no_longer_an_iban(account: int, place: int) -> None:
    rest = f"{account:018}"
    check_digits = 98 - int(f"{rest}131400") % 97  # DE is 13 14
    good = f"DE{check_digits:02}{rest}"
    bad = good[: 4 + place] + str((int(good[4 + place]) + 1) % 10) + good[5 + place :]

    assert is_iban(good)
    assert not is_iban(bad)
