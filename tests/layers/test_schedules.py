import keras
import numpy as np
import pytest

from keras_mtl import AnnealingSchedule, HalvingSchedule, RampSchedule, TemperatureSchedule
from keras_mtl.schedules import (
    check_setting,
    deserialize_setting,
    serialize_setting,
    value_at,
)


def test_temperature_falls_with_the_root_of_the_step_to_its_minimum():
    schedule = TemperatureSchedule()
    temperatures = [float(schedule(step)) for step in (0, 3, 99, 9998, 9999, 10**6)]
    np.testing.assert_allclose(temperatures, [50, 25, 5, 0.500025, 0.5, 0.5], rtol=1e-6)


def test_temperature_halves_with_the_epoch_to_its_minimum():
    schedule = HalvingSchedule()
    temperatures = [float(schedule(epoch)) for epoch in (0, 1, 2, 9, 10, 150, 10**6)]
    np.testing.assert_allclose(temperatures, [100, 50, 25, 0.1953125, 0.1, 0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize("schedule", [TemperatureSchedule, HalvingSchedule])
def test_a_minimum_above_the_start_holds_from_the_start(schedule):
    assert float(schedule(initial=1.0, minimum=3.0)(0)) == 3.0


@pytest.mark.parametrize("length", [1, 7, 1000])
def test_annealing_ends_at_its_final_value_however_long_training_is(length):
    schedule = AnnealingSchedule(initial=8.0, final=0.5)
    temperatures = [float(schedule(step, length)) for step in (0, length / 4, length / 2, length)]
    np.testing.assert_allclose(temperatures, [8, 4, 2, 0.5], rtol=1e-5)
    assert float(schedule(2 * length, length)) == pytest.approx(0.5)


def test_annealing_begins_after_its_start():
    temperatures = [float(AnnealingSchedule(8.0, 2.0, start=10)(step, 20)) for step in (0, 10, 15)]
    np.testing.assert_allclose(temperatures, [8, 8, 4], rtol=1e-6)


def test_annealing_waits_for_a_length_and_prefers_its_own():
    assert float(AnnealingSchedule(8.0, 2.0)(99, 0)) == float(AnnealingSchedule(8.0, 2.0)(99)) == 8
    assert float(AnnealingSchedule(8.0, 2.0, start=30)(25, 20)) == 8
    assert float(AnnealingSchedule(8.0, 2.0, num_steps=4)(2, 100)) == pytest.approx(4)


def test_annealing_may_rise():
    assert float(AnnealingSchedule(1.0, 4.0)(5, 10)) == pytest.approx(2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"initial": 0}, "initial must be a number above 0"),
        ({"final": -1.0}, "final must be a number above 0"),
        ({"start": -1}, "start must be an integer of at least 0"),
        ({"start": 5, "num_steps": 5}, "num_steps must be an integer of at least 6"),
    ],
)
def test_annealing_needs_temperatures_and_steps(wrong, message):
    with pytest.raises(ValueError, match=message):
        AnnealingSchedule(**wrong)


def test_a_ramp_rises_with_its_power_and_stays():
    ramp = RampSchedule(final=8.0, num_steps=10, power=2.0)
    values = [float(ramp(step)) for step in (0, 5, 10, 99)]
    np.testing.assert_allclose(values, [0.0, 2.0, 8.0, 8.0], rtol=1e-6)


def test_schedules_count_with_integer_variables():
    step = keras.Variable(3, dtype="int32", trainable=False)
    assert float(TemperatureSchedule()(step)) == 25.0
    assert float(HalvingSchedule()(step)) == 12.5
    assert float(RampSchedule(2.0, 6)(step)) == 1.0


@pytest.mark.parametrize(
    "schedule",
    [
        TemperatureSchedule(7.0, 0.25),
        HalvingSchedule(9.0, 0.5),
        RampSchedule(3.0, 20, power=0.5),
        AnnealingSchedule(7.0, 0.25, 3, 20),
    ],
)
def test_a_schedule_survives_serialization(schedule):
    copy = deserialize_setting(serialize_setting(schedule))
    assert type(copy) is type(schedule)
    assert copy.get_config() == schedule.get_config()
    assert float(copy(5)) == float(schedule(5))


def test_a_number_is_its_own_config_and_value():
    assert serialize_setting(0.25) == deserialize_setting(0.25) == value_at(0.25, 1000) == 0.25


@pytest.mark.parametrize("schedule", [TemperatureSchedule, HalvingSchedule])
@pytest.mark.parametrize("settings", [(0.0, 0.5), (1.0, -1.0), (1.0, 0.0), (float("nan"), 0.5)])
def test_a_temperature_must_be_above_0(schedule, settings):
    with pytest.raises(ValueError, match="(initial|minimum) must be a number above 0"):
        schedule(*settings)


@pytest.mark.parametrize("settings", [(0, 1.0), (-3, 1.0), (0.5, 1.0), (5, 0.0)])
def test_a_ramp_needs_steps_and_power(settings):
    with pytest.raises(ValueError, match="(num_steps|power) must be"):
        RampSchedule(1.0, *settings)


@pytest.mark.parametrize("setting", [-0.1, float("inf"), float("nan"), None, "much", [1.0]])
def test_a_setting_is_a_schedule_or_a_finite_number(setting):
    with pytest.raises(ValueError, match="budget_weight must be a number of at least 0 or"):
        check_setting("budget_weight", setting)


def test_numpy_numbers_and_schedules_are_settings():
    check_setting("budget_weight", np.float32(0.5))
    check_setting("budget_weight", 0)
    check_setting("temperature", TemperatureSchedule(), above=0)
