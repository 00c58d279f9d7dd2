"""Shapes of batches: everything fits, little is padding."""

import numpy as np
import pytest

from keras_transformer.data.plan import make_plan

BUDGET = 211


def lengths(n=997, low=2, high=23, seed=0):
    rng = np.random.default_rng(seed)
    source = rng.integers(low, high, n)
    return source, np.clip(source + rng.integers(-3, 4, n), low, high + 6)


def test_every_pair_has_the_cheapest_shape_that_it_fits():
    source, target = lengths()
    plan = make_plan(source, target, BUDGET, 7)
    for s, t, bucket in zip(source, target, plan.bucket, strict=True):
        fitting = [p.source + p.target for p in plan.shapes if s <= p.source and t <= p.target]
        own = plan.shapes[bucket]
        assert s <= own.source and t <= own.target
        assert own.slots == min(fitting)


def test_leftovers_go_where_they_fit():
    plan = make_plan(*lengths(), BUDGET, 7)
    for shape, to in zip(plan.shapes, plan.promoted_to, strict=True):
        assert to < 0 or plan.shapes[to].fits(shape)
    # The one shape that nothing else fits into is the largest.
    assert [to < 0 for to in plan.promoted_to] == [False] * (len(plan.shapes) - 1) + [True]


def test_rows_spend_the_budget_on_target_slots():
    for shape in make_plan(*lengths(), BUDGET, 7).shapes:
        assert shape.rows * shape.target <= BUDGET < (shape.rows + 1) * shape.target


def test_two_shapes_are_the_best_two():
    """Beside the one that fits all, exhaustive search finds none that saves more."""
    source, target = lengths(n=83, high=11)
    budget = 10**4 * int(target.max())  # so many rows that a single batch would be ...
    source, target = np.tile(source, 4000), np.tile(target, 4000)  # ... too little: no leftovers
    plan = make_plan(source, target, budget, 2)
    largest = source.max() + target.max()

    def mean_slots(s, t):
        fits = (source[:83] <= s) & (target[:83] <= t)
        return np.where(fits, np.minimum(s + t, largest), largest).mean()

    best = min(mean_slots(s, t) for s in range(2, 18) for t in range(2, 18))
    slots = np.array([shape.slots for shape in plan.shapes])
    assert slots[plan.bucket].mean() <= 1.02 * best


def test_more_shapes_never_pad_more():
    source, target = lengths()
    slots = [make_plan(source, target, BUDGET, k).num_slots for k in range(1, 13)]
    assert slots == sorted(slots, reverse=True)
    assert slots[-1] < 0.75 * slots[0]


def test_the_fewest_shapes_that_reach_max_padding():
    source, target = lengths()
    needed = (source + target).sum()
    padding = [1 - needed / make_plan(source, target, BUDGET, k).num_slots for k in range(1, 13)]
    limit = padding[5]
    plan = make_plan(source, target, BUDGET, 12, max_padding=limit)
    assert 1 - needed / plan.num_slots <= limit
    assert len(plan.shapes) == 1 + next(k for k, p in enumerate(padding) if p <= limit)


@pytest.mark.parametrize("n", [1, 2, 13])
def test_small_corpora_take_one_incomplete_batch_at_most(n):
    source, target = lengths(n)
    plan = make_plan(source, target, BUDGET, 8)
    rows = sum(k * s.rows for k, s in zip(plan.num_batches, plan.shapes, strict=True))
    assert all(plan.num_batches)
    assert 0 <= rows - n < max(s.rows for s in plan.shapes)


def test_long_documents_fit_too():
    """More lengths than the grid has: some are rounded up, none is lost."""
    source, target = lengths(n=4999, low=5, high=3001)
    plan = make_plan(source, target, 16_384, 8)
    assert plan.shapes[-1].source == source.max() and plan.shapes[-1].target == target.max()
    shape = np.array(plan.shapes)[plan.bucket]  # (N, 3)
    assert (shape[:, 1] >= source).all() and (shape[:, 2] >= target).all()
    assert (source + target).sum() / plan.num_slots > 0.75


def test_equal_lengths_need_one_shape_and_no_padding():
    plan = make_plan(np.full(60, 7), np.full(60, 5), 50, 8)
    assert plan.shapes == ((10, 7, 5),)
    assert plan.num_slots == 60 * 12
