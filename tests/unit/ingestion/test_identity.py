"""Pseudonyms: known answers, what links and what must not, and how keys are kept."""

import hashlib
import hmac
import io

import polars as pl
import pytest

from ingestion import identity, sealed
from ingestion.identity import KeyRing, KeysUnusable
from quality.contract import load_contracts
from tests.unit.ingestion.conftest import CITIZEN_ID

CONTRACTS = load_contracts()
KEYS = KeyRing("0123456789abcdef" * 4, bytes(range(32)))


def expected(message: str, key: str = KEYS.pseudonym) -> str:
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()[:32]


def visit(keys=KEYS, extract="registration", **columns) -> dict:
    contract = CONTRACTS[extract]
    row = {c.name: None for c in contract.columns} | {"institution_code": "I" * 22} | columns
    row = {k: v for k, v in row.items() if k in contract.by_name}
    frame = pl.DataFrame([row], schema=dict.fromkeys(row, pl.String)).with_columns(pl.lit("S").alias("_sender"))
    return identity.pseudonymise(frame, contract, keys).row(0, named=True)


def test_known_answer():
    assert expected(f"01|{CITIZEN_ID}") == "a815366a4fbd3dd9cb1145cf98048d07"
    assert visit(id_type="01", id_number=CITIZEN_ID)["person_key"] == "a815366a4fbd3dd9cb1145cf98048d07"


def test_another_key_gives_another_pseudonym():
    other = KeyRing("f" * 63 + "0", KEYS.vault)
    assert visit(id_number=CITIZEN_ID)["person_key"] != visit(other, id_number=CITIZEN_ID)["person_key"]


def test_one_person_is_one_key_however_written():
    written = [f" {CITIZEN_ID} ", CITIZEN_ID, CITIZEN_ID[:6] + " " + CITIZEN_ID[6:]]
    assert len({visit(id_type="01", id_number=w)["person_key"] for w in written}) == 1
    assert visit(id_type=None, id_number=CITIZEN_ID)["person_key"] == visit(id_type="01", id_number=CITIZEN_ID)["person_key"]
    ends_in_x = "99032619800101001x"
    assert visit(id_number=ends_in_x)["person_key"] == visit(id_number=ends_in_x.upper())["person_key"]


def test_a_fifteen_digit_number_is_the_same_person():
    new = pl.select(identity.normalised_number(pl.lit("990326800101001"))).item()
    assert len(new) == 18 and new.startswith("99032619800101001")
    assert pl.select(identity.valid_number(pl.lit(new))).item()
    assert visit(id_number="990326800101001")["person_key"] == visit(id_number=new)["person_key"]


def test_how_sure_a_match_is():
    valid = pl.select(identity.normalised_number(pl.lit("990326800101001"))).item()
    wrong = valid[:17] + ("0" if valid[17] != "0" else "1")
    assert visit(id_type="01", id_number=valid)["person_match"] == "A"
    assert visit(id_type="01", id_number=wrong)["person_match"] == "B"
    assert visit(id_type="03", id_number="E12345678")["person_match"] == "B"
    local = visit(patient_local_id="P1")
    assert (local["person_match"], local["person_key"]) == ("C", expected(f"local|{'I' * 22}|P1"))
    assert visit()["person_match"] is None and visit()["person_key"] is None


def test_a_local_number_means_nothing_elsewhere():
    here, there = visit(patient_local_id="P1"), visit(patient_local_id="P1", institution_code="J" * 22)
    assert here["person_key"] != there["person_key"] and here["patient_local_key"] != there["patient_local_key"]
    assert here["person_key"] != here["patient_local_key"]


def test_county_numbers_link_across_institutions_and_extracts():
    a = visit(extract="settlement", psn_no="530000001", patient_local_id="P1")
    b = visit(extract="out_of_county_settlement", psn_no="530000001")
    assert a["psn_key"] == b["psn_key"] is not None
    resident = visit(extract="resident", resident_id="M1", master_resident_id="M1", phone="+86 138-1234-5678")
    assert resident["resident_key"] == resident["master_resident_key"]
    assert resident["phone_group_key"] == visit(extract="resident", phone="13812345678")["phone_group_key"]
    staff = visit(extract="staff", id_number=CITIZEN_ID)
    assert staff["staff_key"] == visit(id_type="01", id_number=CITIZEN_ID)["person_key"]


def test_the_vault_holds_names_under_their_person():
    row = visit(extract="registration", id_number=CITIZEN_ID, person_name="某甲", patient_local_id="P1")
    frame = pl.DataFrame([row], schema={k: pl.String for k in row})
    rows = {(p, k): c for p, k, c in identity.vault_rows(frame, CONTRACTS["registration"]).iter_rows()}
    assert rows[row["person_key"], "person_name"] == "某甲"
    assert rows[row["person_key"], "id_number"] == CITIZEN_ID
    assert rows[row["patient_local_key"], "patient_local_id"] == "P1"


@pytest.mark.parametrize("text", ["身份证990326198001010017。", "电话:13812345678转", "99032619800101001X", "x 13812345678"])
def test_numbers_inside_text_are_hidden(text):
    hidden = pl.select(identity.hide_numbers(pl.lit(text))).item()
    assert identity.HIDDEN in hidden and not any(n in hidden for n in ("138123", "990326"))


def test_serial_numbers_stay():
    for text in ("20240101000000123456", "C00000001", "990326001A100000000001", "1381234567"):
        assert pl.select(identity.hide_numbers(pl.lit(text))).item() == text


def test_keys_are_made_once_and_kept_close(tmp_path):
    assert KeyRing.create_if_absent(tmp_path / "keys")
    first = KeyRing.load(tmp_path / "keys")
    assert not KeyRing.create_if_absent(tmp_path / "keys")
    assert KeyRing.load(tmp_path / "keys") == first and first.pseudonym not in repr(first)
    assert {oct(p.stat().st_mode)[-3:] for p in [tmp_path / "keys", *(tmp_path / "keys").iterdir()]} == {"700", "600"}


@pytest.mark.parametrize("spoil, word", [
    (lambda d: (d / "pseudonym.key").unlink(), "missing"),
    (lambda d: (d / "vault.key").chmod(0o640), "open to others"),
    (lambda d: d.chmod(0o755), "open to others"),
    (lambda d: (d / "vault.key").write_text("ab" * 16), "256 bits"),
    (lambda d: (d / "vault.key").write_text("0" * 64), "not random"),
    (lambda d: (d / "vault.key").write_text((d / "pseudonym.key").read_text()), "the same"),
])
def test_a_key_kept_badly_stops_the_run(tmp_path, spoil, word):
    folder = tmp_path / "keys"
    KeyRing.create_if_absent(folder)
    text = (folder / "pseudonym.key").read_text().strip()
    spoil(folder)
    with pytest.raises(KeysUnusable, match=word) as stopped:
        KeyRing.load(folder)
    assert text not in str(stopped.value) and " | " in str(stopped.value)


@pytest.mark.parametrize("size", [0, 1, sealed.CHUNK - 1, sealed.CHUNK, sealed.CHUNK + 1, 3 * sealed.CHUNK])
def test_a_sealed_file_opens_to_the_same_bytes(tmp_path, size):
    data = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    sealed.seal_bytes(data[:size], tmp_path / "x", KEYS.vault, "label")
    assert sealed.unseal_bytes(tmp_path / "x", KEYS.vault, "label") == data[:size]
    if size > 1000:
        assert data[:40] not in (tmp_path / "x").read_bytes()


@pytest.mark.parametrize("spoil", [
    lambda raw: raw[:100] + bytes([raw[100] ^ 1]) + raw[101:],
    lambda raw: raw[:-(len(raw) // 3)],
    lambda raw: raw[:12 + 4 + sealed.CHUNK + 16],            # the first chunk only
    lambda raw: b"Y" + raw[1:],
    lambda raw: raw[:11],
])
def test_a_sealed_file_that_was_touched_does_not_open(tmp_path, spoil):
    sealed.seal_bytes(b"a" * (2 * sealed.CHUNK), tmp_path / "x", KEYS.vault, "label")
    (tmp_path / "x").write_bytes(spoil((tmp_path / "x").read_bytes()))
    with pytest.raises(sealed.SealBroken):
        sealed.unseal_bytes(tmp_path / "x", KEYS.vault, "label")


def test_a_sealed_file_opens_with_its_key_and_label_only(tmp_path):
    sealed.seal_bytes(b"data", tmp_path / "x", KEYS.vault, "label")
    for key, label in ((b"\1" * 32, "label"), (KEYS.vault, "other")):
        with pytest.raises(sealed.SealBroken):
            list(sealed.unseal(io.BytesIO((tmp_path / "x").read_bytes()), key, label))
