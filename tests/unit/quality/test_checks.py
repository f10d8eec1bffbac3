"""Batch checks: four states, each with its numbers; drift finds swapped codes and leaves small samples alone."""

from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.checks import BATCHES, CHECKS, CODES, COUNTS, batch_checks, check_label, code_counts, load_batch_checks, tally
from quality.contract import load_contracts
from quality.example import example_row
from quality.schema import gate

CONTRACTS = load_contracts()
A, B, C = ("990326001A10000000000" + n for n in "123")
SETTINGS = {"refusal_share": 0.3, "refusal_rows": 20}


def batch(**given):
    row = {"load_id": "L000001", "batch_id": f"{A}-20250601-01", "sender": A, "institution_code": A,
           "extract": "registration", "period_from": date(2025, 6, 1), "period_to": date(2025, 6, 1),
           "received_at": datetime(2025, 6, 2, 5), "status": "accepted", "resent": False, "rows_received": 3,
           "rows_quarantined": 1, "rows_duplicate": 0, "rows_declared": 3, "rows_conflict": 0} | given
    return pl.DataFrame([row], schema=BATCHES)


def judged(rows, extract="registration", batch_id=f"{A}-20250601-01"):
    contract = CONTRACTS[extract]
    frame = pl.DataFrame([example_row(contract) | r for r in rows], schema=dict.fromkeys(contract.by_name, pl.String))
    frame = frame.with_columns(_received_at=pl.lit(datetime(2025, 7, 1)), _batch=pl.lit(batch_id))
    verdict = gate(frame, contract)
    return (tally(frame, verdict, contract, by="_batch").rename({"_batch": "batch_id"}),
            code_counts(verdict.good, contract, by="_batch").rename({"_batch": "batch_id"}))


def results(*args, **more):
    table = batch_checks(*args, **SETTINGS | more)
    assert dict(table.schema) == CHECKS
    return {r["check_id"]: r for r in table.to_dicts()}


def test_counts_at_the_gate():
    counts, _ = judged([{}, {"status": "7", "fee": None}, {"registered_at": "2026-01-01 08:00:00", "id_number": None}])
    (row,) = counts.to_dicts()
    required = sum(c.required for c in CONTRACTS["registration"].columns)
    assert row["rows_judged"] == 3
    assert (row["cells_required"], row["cells_filled"]) == (3 * required, 3 * required - 1)
    assert row["values_checked"] - row["values_inside"] == 1
    assert (row["rows_keeping_rules"], row["rows_in_order"], row["rows_identified"]) == (2, 2, 2)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([{}, {"status": "7"}, {"fee": None}, {"id_sex": None, "sex_code": "2"}]), min_size=2,
                max_size=12), st.integers(1, 11))
def test_tallies_of_chunks_add_up_to_the_tally_of_the_whole(rows, cut):
    rows = [{k: v for k, v in r.items() if k != "id_sex"} for r in rows]
    parts = [judged(p)[0] for p in (rows[:cut], rows[cut:]) if p]
    assert pl.concat(parts).select(COUNTS).sum().row(0) == judged(rows)[0].select(COUNTS).row(0)


def test_states_and_numbers():
    counts, codes = judged([{}] * 38 + [{"registered_at": "2026-01-01 08:00:00"}] * 2)
    found = results(batch(), counts, codes)
    assert found["manifest_rows"]["state"] == "passed"
    assert found["DQ-01"]["state"] == "passed"
    assert found["DQ-03"]["state"] == "passed" and found["DQ-03"]["reason_zh"].startswith("已填必填项")
    assert found["DQ-13"]["state"] == "failed"
    assert (found["DQ-13"]["numerator"], found["DQ-13"]["denominator"], found["DQ-13"]["threshold"]) == (38, 40, 0.99)
    assert all(r["reason_zh"] and r["reason_en"] for r in found.values())


def test_few_rows_are_counted_but_not_judged():
    counts, _ = judged([{}, {"registered_at": "2026-01-01 08:00:00"}])
    found = results(batch(), counts)["DQ-13"]
    assert (found["state"], found["numerator"], found["denominator"]) == ("not_applicable", 1, 2)
    assert "不足 30" in found["reason_zh"]


def test_without_a_manifest_the_row_count_is_not_a_pass():
    counts, _ = judged([{}])
    found = results(batch(rows_declared=None), counts)["manifest_rows"]
    assert found["state"] == "not_applicable" and found["denominator"] is None


def test_rows_announced_and_missing():
    found = results(batch(rows_declared=4), judged([{}])[0])["manifest_rows"]
    assert (found["state"], found["numerator"], found["denominator"]) == ("failed", 3, 4)


def test_an_accepted_batch_without_counts_is_an_error_a_refused_one_is_not_judged():
    none = judged([{}])[0].clear()
    assert results(batch(), none)["DQ-04"]["state"] == "error"
    assert results(batch(status="refused", rows_quarantined=3), none)["DQ-04"]["state"] == "not_applicable"
    assert results(batch(status="duplicate", rows_duplicate=3, rows_quarantined=0), none)["DQ-04"]["state"] == "not_applicable"


@pytest.mark.parametrize("received, bad, state", [(100, 31, "failed"), (100, 30, "passed"), (8, 3, "not_applicable")])
def test_the_share_that_refuses_a_batch(received, bad, state):
    rows = batch(rows_received=received, rows_quarantined=bad, status="refused" if state == "failed" else "accepted")
    found = results(rows, judged([{}])[0])["quarantined_share"]
    assert (found["state"], found["blocking"]) == (state, True)


@pytest.mark.parametrize("received, resent, state", [
    (datetime(2025, 6, 2, 6), False, "passed"), (datetime(2025, 6, 2, 6, 1), False, "failed"),
    (datetime(2025, 6, 9), True, "not_applicable")])
def test_timeliness(received, resent, state):
    found = results(batch(received_at=received, resent=resent), judged([{}])[0])["DQ-01"]
    assert found["state"] == state


def test_midnight_of_the_due_day_is_its_end():
    rows = batch(extract="department", period_from=date(2025, 5, 1), period_to=date(2025, 5, 31),
                 received_at=datetime(2025, 6, 5, 23, 59))
    assert results(rows, judged([{}], "department")[0])["DQ-01"]["state"] == "passed"


def stays(sender, outpatient, emergency, batch_id=None):
    """The code counts of a month of admissions by route."""
    return pl.DataFrame([(batch_id or sender + "-202506-01", "inpatient_stay", "admission_route", c, n)
                         for c, n in (("1", outpatient), ("2", emergency))],
                        schema={"batch_id": pl.String} | CODES, orient="row")


def of(sender):
    return batch(sender=sender, institution_code=sender, batch_id=sender + "-202506-01", extract="inpatient_stay")


def test_swapped_codes_are_found_against_the_own_past_and_against_peers():
    codes = pl.concat([stays(A, 30, 70), stays(B, 700, 300), stays(C, 650, 350)])
    batches = pl.concat([of(A), of(B), of(C)])
    earlier = pl.concat([stays(s, 1400, 600) for s in (A, B, C)]).rename({"batch_id": "sender"}).with_columns(
        pl.col("sender").str.slice(0, 22))
    table = batch_checks(batches, judged([{}])[0].clear(), codes, earlier, **SETTINGS)
    drift = {(r["sender"], r["check_id"]): r for r in table.to_dicts() if "." in r["check_id"]}
    failed = {k for k, r in drift.items() if r["state"] == "failed"}
    assert failed == {(A, "drift.admission_route"), (A, "peers.admission_route")}
    found = drift[A, "drift.admission_route"]
    assert (found["numerator"], found["denominator"]) == (40, 100)
    first = batch_checks(batches, judged([{}])[0].clear(), codes, None, **SETTINGS)
    assert first.filter((pl.col("state") == "failed") & pl.col("check_id").str.contains(".", literal=True))[
        "check_id"].to_list() == ["peers.admission_route"]


def test_few_rows_are_not_compared():
    codes = pl.concat([stays(A, 0, 2), stays(B, 700, 300)])
    table = batch_checks(pl.concat([of(A), of(B)]), judged([{}])[0].clear(), codes, **SETTINGS)
    assert set(table.filter(pl.col("check_id") == "peers.admission_route")["state"]) == {"not_applicable"}


def test_every_check_has_a_reason_for_its_threshold_and_labels():
    for check in load_batch_checks().values():
        assert check.why_zh and check.why_en
    assert check_label("drift.admission_route") == (
        "代码分布与本机构以往:admission_route", "Codes against the sender's own past: admission_route")


def test_no_batches_no_checks():
    assert batch_checks(batch().clear(), judged([{}])[0].clear(), **SETTINGS).height == 0
