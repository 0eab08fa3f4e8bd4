"""The generated documents say what the code says, and the committed ones are those."""

from __future__ import annotations

import pytest

from ecom_lakehouse.core.contract import FIELDS
from ecom_lakehouse.core.documents import DOCUMENTS, data_contract, dq_rules
from ecom_lakehouse.core.rules import RULES
from ecom_lakehouse.settings import PROJECT_ROOT


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_committed_is_what_the_code_writes(name: str) -> None:
    assert (PROJECT_ROOT / name).read_text() == DOCUMENTS[name]()


def test_every_field_and_every_rule_is_there() -> None:
    contract, rules = data_contract(), dq_rules()
    assert [field.name for field in FIELDS if f"| `{field.name}` |" not in contract] == []
    assert [rule.code for rule in RULES if f"### {rule.code}\n{rule.meaning}" not in rules] == []


def test_the_examples_show_every_rule_of_all_events_broken() -> None:
    table = data_contract().split("## Invalid messages")[1]
    for rule in RULES[:11]:
        assert f"`{rule.code}`" in table
