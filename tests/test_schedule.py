"""Schedules compared with independent formulas, their bounds, and schedules inside other values."""

from __future__ import annotations

import math
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from gankit import Scheduled
from gankit.schedule import Schedule, at_images, has_schedule

numbers = st.floats(-1e6, 1e6)


class TestValues:
    @given(numbers, numbers, st.integers(1, 10**9), st.integers(0, 2 * 10**9))
    def test_linear(self, start, end, over, images):
        value = Schedule(start=start, end=end, over_images=over).at(images)
        share = 1.0 if images >= over else images / over
        assert math.isclose(value, (1 - share) * start + share * end, rel_tol=1e-9, abs_tol=1e-6)

    @given(numbers, numbers, st.integers(1, 10**9), st.integers(0, 2 * 10**9))
    def test_cosine(self, start, end, over, images):
        value = Schedule(start=start, end=end, over_images=over, shape="cosine").at(images)
        middle, swing = (start + end) / 2, (start - end) / 2
        expected = end if images >= over else middle + swing * math.cos(math.pi * images / over)
        assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-6)

    @pytest.mark.parametrize("shape", ["linear", "cosine"])
    def test_start_end_and_after(self, shape):
        ramp = Schedule(start=2.0, end=-1.0, over_images=8, shape=shape)
        assert ramp.at(0) == 2.0
        assert ramp.at(4) == pytest.approx(0.5)
        assert ramp.at(8) == ramp.at(9) == ramp.at(10**12) == -1.0

    @pytest.mark.parametrize("shape", ["linear", "cosine"])
    @given(st.integers(0, 100), st.integers(0, 300))
    def test_a_ramp_that_begins_later(self, shape, after, images):
        ramp = Schedule(start=2.0, end=-1.0, over_images=80, shape=shape)
        later = Schedule(start=2.0, end=-1.0, over_images=80, shape=shape, after_images=after)
        assert later.at(after + images) == ramp.at(images)
        assert later.at(min(after, images)) == 2.0

    def test_shapes_differ_between_the_ends(self):
        linear = Schedule(start=0, end=1, over_images=4)
        cosine = Schedule(start=0, end=1, over_images=4, shape="cosine")
        assert linear.at(1) == pytest.approx(0.25)
        assert cosine.at(1) == pytest.approx((1 - math.sqrt(0.5)) / 2)


class TestBounds:
    @given(numbers, numbers, numbers, st.sampled_from(["ge", "gt", "le", "lt"]), st.sampled_from(["linear", "cosine"]))
    def test_bounds_hold_if_both_ends_satisfy_them(self, start, end, bound, kind, shape):
        adapter = TypeAdapter(Annotated[Scheduled, Field(**{kind: bound})])
        given = {"start": start, "end": end, "over_images": 10, "shape": shape}

        def allowed(value: object) -> bool:
            try:
                adapter.validate_python(value)
            except ValidationError:
                return False
            return True

        assert allowed(given) == (allowed(start) and allowed(end))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"start": 1, "end": 2}, "over_images"),
            ({"start": 1, "end": 2, "over_images": 0}, "greater than 0"),
            ({"start": 1, "end": 2, "over_images": 1.5}, "valid integer"),
            ({"start": 1, "end": float("inf"), "over_images": 3}, "finite"),
            ({"start": float("nan"), "end": 1, "over_images": 3}, "finite"),
            ({"start": "fast", "end": 1, "over_images": 3}, "valid number"),
            ({"start": 1, "end": 2, "over_images": 3, "shape": "step"}, "'linear' or 'cosine'"),
            ({"start": 1, "end": 2, "over_images": 3, "more": 3}, "Extra inputs"),
            ([1, 2], "valid number"),
            ("fast", "valid number"),
            (None, "valid number"),
        ],
    )
    def test_invalid_schedules(self, given, message):
        with pytest.raises(ValidationError, match=message):
            TypeAdapter(Scheduled).validate_python(given)

    def test_numbers(self):
        assert TypeAdapter(Scheduled).validate_python("2e-4") == 2e-4
        assert type(TypeAdapter(Scheduled).validate_python(3)) is float


class TestNested:
    def test_schedules_in_tuples_and_lists(self):
        ramp = Schedule(start=0, end=4, over_images=4)
        assert has_schedule((0.5, ramp))
        assert has_schedule([(ramp,)])
        assert not has_schedule((0.5, "x", None))
        assert at_images((0.5, ramp), 1) == (0.5, 1.0)
        assert at_images([(ramp,), 3], 2) == [(2.0,), 3]
        assert at_images("text", 2) == "text"

    def test_round_trip_of_a_model(self):
        class Model(BaseModel):
            rate: Annotated[Scheduled, Field(ge=0)]
            betas: tuple[Scheduled, Scheduled] = (0.5, 0.9)

        model = Model.model_validate(
            {"rate": {"start": 1, "end": 0, "over_images": 5}, "betas": [0, {"start": 0, "end": 1, "over_images": 2}]}
        )
        assert Model.model_validate(model.model_dump(mode="json")) == model
        assert Model.model_json_schema()["properties"]["rate"]
