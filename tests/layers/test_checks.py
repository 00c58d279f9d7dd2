import pytest

from keras_transformer.layers.checks import check_choice, check_positive, check_rate


@pytest.mark.parametrize("value", [0, -1, 2.0, True, None, "4"])
def test_anything_but_a_positive_integer_is_refused(value):
    with pytest.raises(ValueError, match="num_heads must be a positive integer; received"):
        check_positive("num_heads", value)


@pytest.mark.parametrize("value", [-0.1, 1.0, 1, float("nan"), True, None, "0.1"])
def test_anything_but_a_rate_is_refused(value):
    with pytest.raises(ValueError, match=r"dropout must be a number in \[0, 1\); received"):
        check_rate("dropout", value)


def test_what_is_allowed_passes():
    check_positive("num_heads", 1)
    check_rate("dropout", 0)
    check_rate("dropout", 0.999)
    check_choice("size", "big", ("small", "big"))


def test_an_unknown_choice_is_refused_with_those_known():
    with pytest.raises(ValueError, match="size must be one of 'small', 'big'; received 'huge'"):
        check_choice("size", "huge", ("small", "big"))
