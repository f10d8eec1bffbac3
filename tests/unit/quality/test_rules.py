"""Check digits against independent computation, and what a record may not say."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from quality.rules import CREDIT_ALPHABET, Condition, CreditCheckDigit, IdCheckDigit, good, template


def judged(statement, values):
    return pl.DataFrame(values).select(good(statement)).to_series().to_list()


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="0123456789", min_size=17, max_size=17))
def test_exactly_one_check_character_fits_an_identity_number(body):
    # ISO 7064 MOD 11-2 by powers of two, not by the table of weights
    total = sum(int(d) * pow(2, 17 - i, 11) for i, d in enumerate(body)) % 11
    right = "0123456789X"[(12 - total) % 11]
    numbers = [body + c for c in "0123456789X"]
    good_ones = [n for n, ok in zip(numbers, judged(IdCheckDigit(id_number="n"), {"n": numbers}), strict=True) if ok]
    assert good_ones == [body + right]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=CREDIT_ALPHABET, min_size=17, max_size=17))
def test_exactly_one_check_character_fits_a_credit_code(body):
    total = sum(CREDIT_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    right = CREDIT_ALPHABET[-total % 31]
    codes = [body + c for c in CREDIT_ALPHABET]
    good_ones = [n for n, ok in zip(codes, judged(CreditCheckDigit(column="n"), {"n": codes}), strict=True) if ok]
    assert good_ones == [body + right]


def test_other_documents_have_no_check_digit():
    rule = IdCheckDigit(id_number="n", id_type="t")
    numbers = ["E12345678", "E12345678", "990326198503120012", None]
    assert judged(rule, {"n": numbers, "t": ["03", "01", None, "01"]}) == [True, False, True, True]


@pytest.mark.parametrize("name, parameters", [
    ("no_such", {}), ("compare", {"left": "a", "op": "=<", "right": "b"}),
    ("compare", {"left": "a", "op": "<", "right": "b", "tolerance": 1}), ("holds", {"test": {"column": "a"}}),
    ("holds", {"test": {"column": "a", "present": True, "matches": "x"}}),
    ("holds", {"test": {"left": "a", "op": "<"}}), ("compare", {"left": {"value": 1, "column": "a"}, "op": "<",
                                                               "right": "b"})])
def test_a_malformed_rule_is_refused(name, parameters):
    with pytest.raises((ValueError, ValidationError)):
        template(name, parameters)


def test_sql_quotes_text():
    assert Condition.model_validate({"column": "a", "in": ["it's"]}).sql("duckdb") == "a IN ('it''s')"
    assert Condition(column="a", matches=r"\.x").sql("spark") == r"regexp_like(a, '\\.x')"
