"""Text becomes typed values exactly, or is flagged; nothing is guessed."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quality.contract import load_contracts
from quality.schema import cast

CHARGE, STAY = load_contracts()["charge_line"], load_contracts()["inpatient_stay"]
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def parsed(contract, column, texts):
    frame = pl.DataFrame({n: texts if n == column else [None] * len(texts) for n in contract.by_name},
                         schema=dict.fromkeys(contract.by_name, pl.String))
    typed, flags = cast(frame, contract)
    return typed[column].to_list(), flags[column].to_list()


@quick
@given(st.decimals(min_value=Decimal("-9999999999.99"), max_value=Decimal("9999999999.99"), places=2))
def test_money_is_exact(value):
    assert parsed(CHARGE, "amount", [f"{value:f}"]) == ([value], [False])


@quick
@given(st.text(alphabet="0123456789.-+eE, x", max_size=16))
def test_a_number_is_what_its_text_says_or_is_flagged(text):
    (value,), (flag,) = parsed(CHARGE, "amount", [text])
    if text == "":
        assert value is None and not flag
    elif re.fullmatch(r"-?0*[0-9]{1,10}(\.[0-9]{0,2}0*)?", text):
        assert value == Decimal(text) and not flag
    else:
        assert value is None and flag


@quick
@given(st.dates(min_value=date(1, 1, 1)))
def test_dates(value):
    assert parsed(STAY, "birth_date", [value.isoformat()]) == ([value], [False])


@quick
@given(st.text(alphabet="0123456789-/ T:", max_size=12))
def test_what_is_no_iso_date_is_flagged(text):
    (value,), (flag,) = parsed(STAY, "birth_date", [text])
    try:
        expected = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else None
    except ValueError:
        expected = None
    assert value == expected
    assert flag == (expected is None and text != "")


@quick
@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)).map(
    lambda t: t.replace(microsecond=0)), st.sampled_from(["", "+08:00"]), st.sampled_from(["T", " "]))
def test_shanghai_times_keep_their_wall_time(value, offset, between):
    assert parsed(STAY, "admitted_at", [value.isoformat(sep=between) + offset]) == ([value], [False])


@quick
@given(st.datetimes(min_value=datetime(1992, 1, 1), max_value=datetime(2100, 1, 1)).map(
    lambda t: t.replace(microsecond=0)), st.integers(-11, 12))
def test_times_of_other_offsets_become_shanghai_wall_time(value, hours):
    sent = value.replace(tzinfo=timezone(timedelta(hours=hours)))
    wall = (sent.astimezone(UTC) + timedelta(hours=8)).replace(tzinfo=None)
    assert parsed(STAY, "admitted_at", [sent.isoformat()])[0] == [wall]


@pytest.mark.parametrize("text", ["2025-06-01 24:00:00", "2025-06-01 08:60:00", "2025-06-01 08:00:60", "2025-06-01",
                                  "2025-02-30 08:00:00", "2025/06/01 08:00:00", "20250601080000"])
def test_times_that_are_none(text):
    assert parsed(STAY, "admitted_at", [text]) == ([None], [True])


@pytest.mark.parametrize("text, value", [("1", True), ("0", False), ("true", True), ("false", False), ("是", None),
                                         ("2", None), ("", None)])
def test_booleans(text, value):
    assert parsed(STAY, "day_surgery_flag", [text]) == ([value], [value is None and text != ""])


@pytest.mark.parametrize("text, value", [("8", 8), ("-3", -3), ("8天", None), ("8.0", None), ("1e3", None),
                                         ("9" * 30, None), ("８", None)])
def test_whole_numbers(text, value):
    assert parsed(STAY, "admission_times", [text]) == ([value], [value is None])


def test_a_lost_decimal_is_flagged_not_rounded():
    assert parsed(CHARGE, "amount", ["1.005", "1.0500", "12345678901.00"]) == (
        [None, Decimal("1.05"), None], [True, False, True])
