from __future__ import annotations

import gzip
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

HEAD = "id,person,income,amount,purpose,branch,sex,age,repaid\n"
GOOD = "a,p1,100,10,car,01,female,30,1\nb,p2,200,20,home,02,male,40,0\n"


def rows(text: str) -> str:
    return HEAD + text


def test_ids_and_leading_zeros_stay_text_and_plain_numbers_become_numbers(lender: Any) -> None:
    table = lender.write(evaluation=rows("007,p1,1.50,10,car,01,female,30,1\n010,p2,2,20,home,02,male,40,0\n")).table()
    assert table.ids.tolist() == ["007", "010"]
    assert table.frame["branch"].tolist() == ["01", "02"]
    assert table.frame["age"].dtype == np.int64
    assert table.frame["income"].tolist() == [1.5, 2.0]


def test_only_the_empty_cell_and_stated_texts_are_missing(lender: Any) -> None:
    lender.write(evaluation=rows("a,p,1,1,None,NA,female,3,1\nb,p,?,2,,nan,male,,0\n"))
    frame = lender.table(data={"missing": ["?"]}).frame
    assert frame["purpose"].iloc[0] == "None"
    assert frame["branch"].tolist() == ["NA", "nan"]
    assert frame.isna().sum().to_dict() | {} == {
        "id": 0, "person": 0, "income": 1, "amount": 0, "purpose": 1, "branch": 0, "sex": 0, "age": 1, "repaid": 0,
    }  # fmt: skip


def test_integers_that_float64_would_round_and_code_like_texts_stay_text(lender: Any) -> None:
    lender.write(evaluation="id,big,code,repaid,sex\na,9007199254740993,1e5,1,male\nb,,2e5,0,male\n")
    frame = lender.table(data={"numeric": [], "categorical": []}).frame
    assert frame["big"].iloc[0] == "9007199254740993"
    assert frame["code"].tolist() == ["1e5", "2e5"]


def test_splits_cannot_disagree_about_types(lender: Any) -> None:
    lender.write(train=rows("a,p,1,1,x,1,female,3,1\nb,p,1,2,y,2,male,4,0\n"))
    table = lender.write(evaluation=rows("c,p,1,1,x,01,female,3,1\nd,p,2,2,y,2,male,4,0\n")).table()
    assert table.frame["branch"].tolist() == ["1", "2", "01", "2"]
    assert table.split.tolist() == ["train"] * 2 + ["evaluation"] * 2
    assert table.rows("evaluation").tolist() == [2, 3]


def test_every_complaint_comes_at_once(lender: Any) -> None:
    lender.write(
        evaluation="id,income,amount,purpos,branch,sex,age,repaid\na,12k,1,x,01,female,30,1\na,5,1,x,01,male,40,\n"
    )
    found = lender.complaints(data={"train": Path("absent.csv"), "weight": "amount"}, protected={})
    assert found == [
        "policy.yaml:data.train: the file 'absent.csv' does not exist; paths are relative to the policy file",
        "policy.yaml:data.categorical.0: no column 'purpose' in evaluation.csv; did you mean 'purpos'?",
        "evaluation.csv, column 'income', line 2: '12k' is not a number; "
        "state the texts that mean missing under data.missing, or list the column as categorical",
        "evaluation.csv, column 'repaid', line 3: 1 record has no label; "
        "audit the records whose label is known, and say so under data.sampling",
        "policy.yaml:data.label.favourable: the label 'repaid' has 1 value ('1'), not two; "
        "every value but the favourable one must mean not favourable, and both must occur",
        "evaluation.csv, column 'id', line 3: the id 'a' occurs again; "
        "if one id is one person with several records, name the column under data.person instead",
    ]


def test_a_column_that_one_split_lacks_names_the_split(lender: Any) -> None:
    lender.write(train=rows(GOOD).replace("income", "salary"), evaluation=rows(GOOD))
    (found,) = lender.complaints()
    assert found.startswith("policy.yaml:data.numeric.0: no column 'income' in train.csv; train.csv has ")


def test_line_numbers_count_quoted_line_breaks_and_blank_lines(lender: Any) -> None:
    lender.write(evaluation=rows('a,p,1,1,"two\nlines",01,female,30,1\n\nb,p,oops,1,x,01,male,40,0\n'))
    (found,) = lender.complaints()
    assert found.startswith("evaluation.csv, column 'income', line 5: 'oops' is not a number")


def test_short_and_long_records_are_complaints_not_padding(lender: Any) -> None:
    lender.write(evaluation=rows(GOOD + "c,p,1\nd,p,1,1,x,01,male,1,0,9\n"))
    (found,) = lender.complaints()
    assert found.startswith(
        "evaluation.csv, lines 4, 5: 3 cells in the first of them where the header has 9; cells are separated by commas"
    )


@pytest.mark.parametrize("end", [".csv.gz", ".tsv", ".tsv.gz", ".parquet"])
def test_every_format_gives_the_same_frame(lender: Any, make_applications: Any, end: str) -> None:
    frame = make_applications(50, 3, "e")
    plain = lender.write(evaluation=frame).table()
    path = lender.folder / f"evaluation{end}"
    text = frame.to_csv(index=False, sep="\t" if ".tsv" in end else ",").encode()
    if end == ".parquet":
        frame.to_parquet(path)
    else:
        path.write_bytes(gzip.compress(text) if end.endswith("gz") else text)
    other = lender.table(data={"evaluation": path})
    pd.testing.assert_frame_equal(plain.frame, other.frame)
    assert other.digests["evaluation"] == sha256(path.read_bytes()).hexdigest()
    assert (plain.label == other.label).all()


def test_parquet_keeps_its_types_and_reads_missing_texts_and_decimals(lender: Any) -> None:
    frame = pd.DataFrame(
        {
            "id": [1, 2, 3], "income": [1.0, -9.0, 3.0], "amount": [1, 2, 3], "branch": ["x", "?", "y"],
            "purpose": pd.Categorical(["a", "b", "a"]), "repaid": [True, False, True], "sex": ["male"] * 3,
        }
    )  # fmt: skip
    path = lender.folder / "e.parquet"
    frame.to_parquet(path)
    label = {"column": "repaid", "favourable": True, "means": "outcome"}
    table = lender.table(data={"evaluation": path, "missing": ["?", "-9"], "label": label})
    assert table.ids.tolist() == ["1", "2", "3"]
    assert table.label.tolist() == [1.0, 0.0, 1.0]
    assert table.frame["income"].isna().tolist() == [False, True, False]
    assert table.frame["branch"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("e.csv", b"", "e.csv: the file is empty"),
        ("e.csv", HEAD.encode(), "e.csv: the file has a header and no records"),
        ("e.csv", b"id,a\n\xff,1\n", "e.csv: cannot be read: the text is not UTF-8; save the file as UTF-8"),
        ("e.csv", b"a;b;c\n1;2;3\n", "e.csv: the header is one column; its names seem separated by ';'; save it with"),
        ("e.csv.gz", b"no gzip", "e.csv.gz: cannot be read: Not a gzipped file"),
        ("e.parquet", b"no parquet", "e.parquet: cannot be read: "),
        ("e.xlsx", b"", "policy.yaml:data.evaluation: cannot tell the format of 'e.xlsx'; use .csv"),
    ],
)
def test_unreadable_files_say_why(lender: Any, name: str, content: bytes, said: str) -> None:
    path = lender.folder / name
    path.write_bytes(content)
    assert lender.complaints(data={"evaluation": path})[0].startswith(said)


def test_repeated_columns_are_read_once_when_equal_and_refused_when_not(lender: Any) -> None:
    twice = "id,a,a,repaid,sex\n1,x,x,1,male\n2,y,y,0,male\n"
    plain = {"numeric": [], "categorical": []}
    table = lender.write(evaluation=twice).table(data=plain)
    assert [c.count for c in table.checks if c.name == "repeated columns"] == [1]
    (found,) = lender.write(evaluation=twice.replace("y,y", "y,z")).complaints(data=plain)
    assert found == "evaluation.csv: the header repeats 'a' with other values; give each column its own name"


@pytest.mark.parametrize(
    ("favourable", "values"),
    [
        (1, "1 0"),
        (1, "1.0 2.0"),
        (1.0, "1 0"),
        ("1", "1 0"),
        (True, "TRUE FALSE"),
        (">50K", ">50K <=50K"),
        ("01", "01 1"),
    ],
)
def test_the_favourable_value_matches_as_text_and_as_number(lender: Any, favourable: object, values: str) -> None:
    first, second = values.split()
    lender.write(evaluation=f"id,repaid,sex\na,{first},male\nb,{second},male\n")
    label = {"column": "repaid", "favourable": favourable, "means": "outcome"}
    table = lender.table(data={"label": label, "numeric": [], "categorical": []})
    assert table.label.tolist() == [1.0, 0.0]


def test_a_label_of_three_values_or_without_the_favourable_one_is_refused(lender: Any) -> None:
    lender.write(evaluation="id,repaid,sex\na,yes,male\nb,no,male\nc,maybe,male\n")
    plain = {"numeric": [], "categorical": []}
    (found,) = lender.complaints(data=plain | {"label": {"column": "repaid", "favourable": "yes", "means": "outcome"}})
    assert "has 3 values ('maybe', 'no', 'yes'), not two" in found
    (found,) = lender.complaints(data=plain | {"label": {"column": "repaid", "favourable": "Yes", "means": "outcome"}})
    assert found == "policy.yaml:data.label.favourable: the label 'repaid' is never 'Yes'; did you mean 'yes'?"


@pytest.mark.parametrize(
    ("weights", "said"),
    [("1 -1", "negative"), ("1 ", "missing"), ("0 0", "every weight is 0"), ("1 x", "not a number")],
)
def test_wrong_weights_are_refused(lender: Any, weights: str, said: str) -> None:
    first, second = weights.split(" ")
    lender.write(evaluation=f"id,repaid,sex,w\na,1,male,{first}\nb,0,male,{second}\n")
    assert any(said in c for c in lender.complaints(data={"weight": "w", "numeric": [], "categorical": []}))


def test_a_person_in_two_splits_is_refused_unless_allowed_and_then_counted(lender: Any) -> None:
    lender.write(train=rows(GOOD), evaluation=rows(GOOD.replace("p2", "p9")))
    (found,) = lender.complaints(data={"person": "person"})
    assert found.startswith("policy.yaml:data.person: 1 person has records in two splits (the first: 'p1')")
    table = lender.table(data={"person": "person", "person_in_two_splits": "allow"})
    counts = {check.name: check.count for check in table.checks}
    assert counts["persons, evaluation/train"] == 1
    assert counts["ids, evaluation/train"] == 2
    assert counts["identical rows, evaluation/train"] == 2
    assert counts["repeated rows, train"] == 0


def test_identical_rows_compare_features_only_and_treat_missing_as_equal(lender: Any) -> None:
    lender.write(train=rows("a,p,,10,car,01,female,30,1\nx,p,,10,car,01,male,20,0\ny,p,7,10,car,01,male,20,0\n"))
    lender.write(evaluation=rows("b,q,,10,car,01,female,50,0\nc,q,1,10,car,01,female,50,1\n"))
    counts = {check.name: check.count for check in lender.table().checks}
    assert counts["identical rows, evaluation/train"] == 1
    assert counts["repeated rows, train"] == 1


def test_row_numbers_are_the_ids_where_no_column_is_named(lender: Any) -> None:
    table = lender.write(train=rows(GOOD), evaluation=rows(GOOD)).table(data={"id": None})
    assert table.ids.tolist() == ["1", "2", "1", "2"]
    assert not any(check.name.startswith("ids") for check in table.checks)


def test_a_numeric_column_without_any_training_value_is_refused(lender: Any) -> None:
    lender.write(train=rows(GOOD.replace("100", "").replace("200", "")), evaluation=rows(GOOD))
    assert lender.complaints() == ["train.csv, column 'income': no training row has a value"]


def test_columns_that_not_every_file_has_are_left_out_and_counted(lender: Any) -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "repaid": [1, 0], "sex": "male", "extra": 1})
    lender.write(train=frame, evaluation=frame.rename(columns={"extra": "other"}))
    plain = {"numeric": [], "categorical": []}
    kept = lender.table(data=plain)
    assert "extra" not in kept.frame
    assert kept.frame["other"].isna().tolist() == [True, True, False, False]
    strict = lender.table(data=plain, model={"adapter": "estimator", "subject": "m:f"})
    assert "other" not in strict.frame
    assert [c.count for c in strict.checks if c.name == "columns left out"] == [2]


def test_ten_thousand_rows_read_in_half_a_second(lender: Any, make_applications: Any) -> None:
    frame = make_applications(10_000, 1, "e")
    wide = pd.concat([frame, *(frame[["amount"]].add_suffix(f"_{i}") for i in range(20))], axis=1)
    lender.write(evaluation=wide)
    lender.table()  # imports and first-use costs
    times = []
    for _ in range(3):
        start = time.process_time()
        lender.table()
        times.append(time.process_time() - start)
    assert min(times) < 0.5
