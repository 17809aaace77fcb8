"""Keys and the names of members."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teacher.members import check_key, member_name, split_member


@given(st.text(max_size=90))
def test_a_key_is_refused_or_returns(key: str):
    fit = 0 < len(key.encode()) <= 80 and key.isprintable() and not set("./\\") & set(key)
    if fit:
        assert split_member(member_name(key, "depth.png")) == (key, "depth.png")
        return
    with pytest.raises(ValueError, match=r"^key .*: expected [^\n]*$"):
        member_name(key, "depth.png")


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "../a", "a\\b", "a\nb", "\udcff", "é" * 41])
def test_unfit_keys_are_refused(key: str):
    with pytest.raises(ValueError, match=r"key .*: expected"):
        check_key(key)


@pytest.mark.parametrize("key", ["000042", "frankfurt_000000_000294", "Straße 7 (2)", "é" * 40])
def test_fit_keys_pass(key: str):
    check_key(key)


@pytest.mark.parametrize("name", ["", "README", "key.", ".jpg", "folder/key.jpg", "./key.jpg"])
def test_names_that_are_no_members_are_refused(name: str):
    with pytest.raises(ValueError, match="expected"):
        split_member(name)


def test_a_suffix_is_read_in_lower_case():
    assert split_member("IMG_1.JPG") == ("IMG_1", "jpg")
