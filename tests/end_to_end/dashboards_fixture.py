"""A small serving file with plausible rows in every mart that `_marts.yml` declares, for tests of the pages alone.

Put here: made-up figures that have the marts' shape. The figures of the real county come from the pipeline.
"""

import math
import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path

import duckdb
import polars as pl
import yaml

MARTS = Path(__file__).resolve().parents[2] / "dbt_project" / "models" / "marts" / "_marts.yml"
MONTHS = [date(2024 + m // 12, m % 12 + 1, 1) for m in range(24)]
LAST = date(2025, 12, 31)

_UNITS = [   # code, name, township, level, class, ownership
    ("9903260001C2200000000001", "县人民医院", "城关镇", "1", "C", "公立"),
    ("9903260001C2200000000002", "县中医医院", "城关镇", "1", "T", "公立"),
    ("9903260002C2200000000003", "县第二人民医院", "城东镇", "1", "C", "公立"),
    ("9903260003C2200000000004", "河口镇中心卫生院", "河口镇", "2", "H", "公立"),
    ("9903260004C2200000000005", "松坪镇卫生院", "松坪镇", "2", "H", "公立"),
    ("9903260003D6000000000006", "河口村卫生室", "河口镇", "3", "V", "公立"),
    ("9903260001A1000000000007", "康宁医院", "城关镇", "4", "P", "民营"),
]
_LEVELS = {"1": ("县级", "County"), "2": ("乡级", "Township"), "3": ("村级", "Village"), "4": ("民营", "Private")}
INSTITUTION = _UNITS[0][0][:22]
OTHER_INSTITUTION = _UNITS[1][0][:22]

_DOMAINS: dict[str, list[dict]] = {
    "payer": [{"payer_code": c, "payer_zh": z, "payer_en": e} for c, z, e in
              (("310", "职工医保", "Employees"), ("390", "居民医保", "Residents"), ("000", "自费", "Uninsured"))],
    "care": [{"care": c, "care_zh": z, "care_en": e} for c, z, e in
             (("outpatient", "门诊", "Outpatient"), ("inpatient", "住院", "Inpatient"))],
    "class": [{"fee_class": c, "fee_class_zh": z, "fee_class_en": e, "fee_class_order": n} for n, (c, z, e) in enumerate(
        (("service", "医疗服务", "Services"), ("drug", "药品", "Drugs"), ("consumable", "卫生材料", "Consumables"),
         ("exam", "检查", "Examinations"), ("lab", "化验", "Laboratory"), ("other", "其他", "Other")))],
    "dept": [{"dept_code": f"D{n}", "dept_name": z, "std_dept_code": f"0{n}", "std_dept_zh": z, "std_dept_en": e}
             for n, (z, e) in enumerate((("内科", "Medicine"), ("外科", "Surgery"), ("妇产科", "Obstetrics"),
                                         ("儿科", "Paediatrics"), ("骨科", "Orthopaedics")), 1)],
    "disease": [{"disease_code": c, "disease_zh": z, "disease_en": f"{c} {e}", "chapter_code": n, "chapter_zh": cz,
                 "chapter_en": e} for c, z, n, cz, e in (
        ("I63", "脑梗死", "09", "循环系统疾病", "Circulatory"), ("I10", "原发性高血压", "09", "循环系统疾病", "Circulatory"),
        ("J44", "慢性阻塞性肺病", "10", "呼吸系统疾病", "Respiratory"), ("J18", "肺炎", "10", "呼吸系统疾病", "Respiratory"),
        ("E11", "2型糖尿病", "04", "内分泌疾病", "Endocrine"), ("S72", "股骨骨折", "19", "损伤", "Injury"),
        ("K80", "胆石症", "11", "消化系统疾病", "Digestive"), ("O80", "顺产", "15", "妊娠分娩", "Birth"))],
    "component": [{"component": c, "component_zh": z, "component_en": e, "component_order": n} for n, (c, z, e) in
                  enumerate((("volume", "服务量", "Volume"), ("mix", "病种结构", "Mix"), ("price", "价格", "Price"),
                             ("drugs", "药品", "Drugs"), ("consumables", "耗材", "Consumables")), 1)],
    "item": [{"item_class": c, "item_class_zh": z, "item_class_en": e, "item_code": f"{c[0]}{n}",
              "item_name": f"{z}{n}号"} for c, z, e in (("drug", "药品", "Drug"), ("consumable", "卫生材料", "Consumable"))
             for n in range(1, 6)],
    "extract": [{"extract": c, "extract_zh": z, "extract_en": e, "cadence": "daily"} for c, z, e in (
        ("settlement", "结算", "Settlement"), ("charge_line", "费用明细", "Charge lines"),
        ("outpatient_encounter", "门诊就诊", "Encounters"), ("inpatient_stay", "住院", "Inpatient stays"))],
    "rule": [{"rule_id": f"settlement.{c}", "rule_zh": z, "rule_en": e, "severity": s, "column_name": col}
             for c, z, e, s, col in (("total", "费用合计不符", "Totals differ", "error", "total_fee"),
                                     ("sex", "性别代码不在值域", "Sex not in value set", "error", "gend"),
                                     ("date", "出院早于入院", "Discharge before admission", "error", "dscg_time"),
                                     ("phone", "电话格式", "Phone format", "warn", "tel"))],
    "check": [{"check_id": f"{c}", "check_zh": z, "check_en": e} for c, z, e in (
        ("manifest_rows", "清单行数", "Manifest rows"), ("volume", "数据量", "Volume"),
        ("reference", "参照完整", "References"), ("money", "费用恒等", "Money identity"))],
    "grade": [{"grade": c, "grade_zh": z, "grade_en": e} for c, z, e in (
        ("A", "证件号校验", "Checked number"), ("B", "其他证件", "Other document"), ("C", "仅院内号", "Local number"),
        ("none", "未识别", "None"))],
    "itemclass": [{"item_class": c, "item_class_zh": z, "item_class_en": e} for c, z, e in (
        ("09", "西药", "Western drugs"), ("08", "卫生材料", "Consumables"), ("03", "检查", "Examination"))],
    "alert": [{"alert_id": c, "alert_zh": z, "alert_en": e, "object_zh": o, "object_en": oe} for c, z, e, o, oe in (
        ("A1", "次均费用环比上涨超过15%", "Average fee up by more than 15 %", "住院", "Inpatient"),
        ("A3", "百元耗材超过20元", "Consumables above 20", "全院", "Whole institution"))],
    "stage": [{"stage": s} for s in ("ingest", "dbt", "publish")],
}
_INDICATORS = [   # id, zh, en, unit_zh, unit_en, direction, decimals, numerator, denominator, factor
    ("COST-01", "门诊次均费用", "Average outpatient fee", "元", "CNY", "neutral", 1, 210, 1, 1),
    ("COST-03", "住院次均费用", "Average fee per discharge", "元", "CNY", "neutral", 0, 5200, 1, 1),
    ("COST-06", "药占比", "Drug share", "%", "%", "lower_is_better", 1, 29, 100, 100),
    ("COST-07", "百元医疗收入消耗卫生材料", "Consumables per 100 yuan", "元", "CNY", "lower_is_better", 1, 17, 100, 100),
    ("COST-09", "医疗费用增幅", "Growth of medical income", "%", "%", "lower_is_better", 1, 7, 100, 100),
    ("COST-12", "自付费用占比", "Out-of-pocket share", "%", "%", "lower_is_better", 1, 31, 100, 100),
    ("COST-13", "医疗服务收入占比", "Service income share", "%", "%", "higher_is_better", 1, 28, 100, 100),
    ("FUND-04", "实际补偿比", "Effective reimbursement", "%", "%", "higher_is_better", 1, 57, 100, 100),
    *((f"DQ-{n:02d}", zh, en, "%", "%", "lower_is_better" if n == 9 else "higher_is_better", 1, v, 100, 100)
      for n, zh, en, v in (
        (1, "数据上报及时率", "Submission timeliness", 97), (2, "数据完整率", "Completeness", 98),
        (3, "字段填充率", "Field fill rate", 99), (4, "值域合规率", "Value-set conformance", 99),
        (5, "业务规则通过率", "Rule pass rate", 98), (6, "参照完整率", "Referential integrity", 99),
        (8, "主索引匹配率", "Identity match rate", 94), (9, "业务量勾稽差异", "Volume reconciliation", 2))),
    ("DQ-14", "数据修订影响数", "Restated values", "个", "values", "neutral", 0, 12, None, 1),
]
_DOMAINS["indicator"] = [
    {"indicator_id": i, "indicator_zh": z, "indicator_en": e, "unit_zh": uz, "unit_en": ue, "direction": d, "decimals": n,
     "_base": (num, den, factor), "subject_area": i[:4], "sort_order": k, "factor": factor,
     "definition_zh": f"{z}的定义", "definition_en": f"Definition of {e}"}
    for k, (i, z, e, uz, ue, d, n, num, den, factor) in enumerate(_INDICATORS)]

# mart -> (time unit, levels, dimensions crossed)
_GRAIN: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mart_indicator": ("none", "none", ("indicator",)),
    "mart_indicator_month": ("month", "both", ("indicator",)),
    "mart_cost_month": ("month", "by_level", ("payer", "care")),
    "mart_cost_case_fee_month": ("month", "both", ("care",)),
    "mart_cost_structure_month": ("month", "both", ("class",)),
    "mart_cost_department_month": ("month", "both", ("dept",)),
    "mart_cost_disease_month": ("month", "both", ("disease",)),
    "mart_cost_growth_month": ("month", "both", ("care", "component")),
    "mart_peer_month": ("month", "county", ("indicator",)),
    "mart_cost_item_month": ("month", "both", ("item",)),
    "mart_cost_alert_month": ("month", "both", ("alert",)),
    "mart_cost_case": ("month", "institution", ("dept", "disease", "payer")),
    "mart_cost_case_line": ("month", "institution", ("dept", "disease", "class")),
    "mart_submission_day": ("day", "both", ("extract",)),
    "mart_submission_month": ("month", "both", ("extract",)),
    "mart_check_result": ("month", "institution", ("extract", "check")),
    "mart_finding_month": ("month", "both", ("rule",)),
    "mart_reconcile_day": ("day", "both", ()),
    "mart_code_mapping_month": ("month", "both", ("itemclass",)),
    "mart_identity_match_month": ("month", "both", ("grade",)),
    "mart_restatement": ("month", "both", ("indicator",)),
    "mart_batch": ("month", "both", ()),
    "mart_quarantine_row": ("month", "institution", ("rule",)),
    "mart_run_stage": ("day", "county", ("stage",)),
    "mart_freshness": ("none", "both", ()),
}


def _units(levels: str) -> Iterator[dict]:
    if levels in ("institution", "both", "by_level"):
        for code, name, township, level, group, ownership in _UNITS:
            zh, en = _LEVELS[level]
            yield {"level": "institution", "institution_code": code[:22], "institution_name": name,
                   "township_code": code[:9], "township_name": township, "level_code": level, "level_name_zh": zh,
                   "level_name_en": en, "ownership_zh": ownership, "ownership_en": {"公立": "Public"}.get(ownership, "Private"),
                   "peer_group": group, "peer_group_zh": f"{zh}{group}", "peer_group_en": f"{en} {group}", "_share": 1.0}
    if levels in ("county", "both"):
        yield {"level": "county", "_share": float(len(_UNITS))}
    if levels == "by_level":
        for level, (zh, en) in _LEVELS.items():
            yield {"level": "county", "level_code": level, "level_name_zh": zh, "level_name_en": en, "_share": 2.0}
    if levels == "none":
        yield {"_share": 1.0}


def _periods(kind: str) -> Iterator[dict]:
    if kind == "month":
        yield from ({"month": month} for month in MONTHS)
    elif kind == "day":
        for back in range(92):
            day = LAST - timedelta(days=back)
            yield {"stat_date": day, "month": day.replace(day=1)}
    else:
        yield {}


_STATES = [("received", "按时", "On time", 0), ("late", "迟报", "Late", 1), ("quarantined", "已隔离", "Refused", 2),
           ("missing", "缺报", "Missing", 3)]
_CHECK_STATES = [("passed", "通过", "Passed"), ("failed", "不通过", "Failed"), ("not_applicable", "不适用", "Not applicable"),
                 ("error", "错误", "Error")]


def _row(mart: str, base: dict, rng: random.Random, month: date | None) -> dict:
    share, wave = base["_share"], 1.0
    if month:
        wave = 1 + 0.08 * math.sin(month.month / 12 * 2 * math.pi) + 0.06 * (month.year - 2024)
    noise = rng.uniform(0.85, 1.15) * wave
    row = dict(base)
    if "_base" in base:
        num, den, factor = base["_base"]
        scale = 100 * share if den is not None else 1
        row |= {"numerator": round(num * scale * noise, 2), "denominator": None if den is None else round(den * scale, 2),
                "value": num * noise / (den or 1) * factor, "numerator_ly": round(num * scale, 2),
                "denominator_ly": None if den is None else den * scale, "value_ly": num / (den or 1) * factor,
                "change_pct": (noise - 1) * 100, "state": "value", "state_zh": "有效", "state_en": "Valid",
                "completeness": rng.choice((1.0, 0.99, 0.95, 0.85)), "is_ranked": True, "is_restated": rng.random() < 0.1,
                "first_value": num * noise, "current_value": num * noise * 1.02, "change": num * 0.02,
                "reports_zh": "费用监测月报", "reports_en": "Cost report"}
    state = rng.choices(_STATES, (90, 5, 2, 3))[0]
    check = rng.choices(_CHECK_STATES, (88, 6, 5, 1))[0]
    if mart == "mart_check_result":
        row |= dict(zip(("state", "state_zh", "state_en"), check, strict=True)) | {"check_kind": "batch", "batch_id": "B1"}
    if mart == "mart_submission_day":
        row |= dict(zip(("state", "state_zh", "state_en", "state_order"), state, strict=True))
        row |= {"due": 1, "received": int(state[3] == 0), "late": int(state[3] == 1), "quarantined": int(state[3] == 2),
                "missing": int(state[3] == 3)}
    if mart == "mart_cost_growth_month":
        row["change_amount"] = round(rng.uniform(-20000, 60000) * share, 2)
    if mart in ("mart_cost_case", "mart_cost_case_line"):
        row["case_key"] = f"{base['institution_code'][-4:]}{base['dept_code']}{base['disease_code']}{month:%y%m}"
    if mart == "mart_batch":
        row |= {"batch_id": f"{base.get('institution_code', 'county')}-{month:%Y%m}-01", "status": "accepted",
                "status_zh": "已接收", "status_en": "Accepted", "sender": base.get("institution_code"),
                "received_at": datetime(month.year, month.month, 5, 9)}
    if mart == "mart_freshness":
        row |= {"data_through": LAST, "last_closed_month": MONTHS[-1], "last_received_at": datetime(2026, 1, 2, 6, 30),
                "late_institutions": 2, "missing_zh": "松坪镇卫生院：结算（2025-12-29 起）",
                "missing_en": "Songping: settlement (from 2025-12-29)", "completeness": 0.985, "completeness_grade": "green"}
    if mart == "mart_cost_structure_month":
        row |= {"basis": "finance", "basis_zh": "财务口径", "basis_en": "Finance", "care": "all", "care_zh": "全部",
                "care_en": "All", "share_pct": 100 / 6}
    return row


def _fill(name: str, kind: str, row: dict, rng: random.Random) -> object:
    """A value for a column that the mart's own row did not set."""
    share = row["_share"]
    if name in row or name.startswith("institution") or name.startswith(("township", "peer_group", "level", "ownership")):
        return row.get(name)
    if kind.startswith("decimal"):
        return round(rng.uniform(5000, 40000) * share, 2)
    if kind == "double":
        return round(rng.uniform(3000, 9000), 1) if "fee" in name or name.startswith(("peer", "p")) else rng.uniform(1, 20)
    if kind in ("integer", "bigint"):
        return int(rng.uniform(30, 400) * share) if name not in ("item_rank", "fee_rank") else rng.randint(1, 50)
    if kind == "boolean":
        return name == "has_lines"
    if kind == "date":
        return LAST
    if kind.startswith("timestamp"):
        return datetime(2026, 1, 1, 8) + timedelta(minutes=rng.randint(0, 600))
    return {"unit_zh": "元", "care": "all"}.get(name, name.split("_")[0] + str(rng.randint(1, 9)))


def make(path: Path) -> Path:
    """Write the file and give back its path; the same rows every time."""
    rng = random.Random(20250101)
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE SCHEMA marts")
        for model in yaml.safe_load(MARTS.read_text("utf-8"))["models"]:
            mart, columns = model["name"], {c["name"]: c["data_type"] for c in model["columns"]}
            db.execute(f"CREATE TABLE marts.{mart} ({', '.join(f'{n} {t}' for n, t in columns.items())})")
            kind, levels, dims = _GRAIN[mart]
            rows = []
            for period, unit, *picked in product(_periods(kind), _units(levels), *(_DOMAINS[d] for d in dims)):
                base = {**period, **unit}
                for part in picked:
                    base |= part
                row = _row(mart, base, rng, period.get("month"))
                rows.append([_fill(n, t, row, rng) for n, t in columns.items()])
            db.register("filled", pl.DataFrame({n: [None if row[k] is None else str(row[k]) for row in rows[-8000:]]
                                  for k, n in enumerate(columns)}, schema=dict.fromkeys(columns, pl.String)))
            casts = ", ".join(f"CAST({n} AS {t})" for n, t in columns.items())
            db.execute(f"INSERT INTO marts.{mart} SELECT {casts} FROM filled")
        db.execute("CREATE TABLE marts.publish_info AS SELECT 1 AS version, TIMESTAMP '2026-01-02 06:30:00' AS published_at")
    return path
