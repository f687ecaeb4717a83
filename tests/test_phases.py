import keras
import pytest

from keras_mtl import CycleTemperature, PolicyPhases


def learns(phases, num):
    return [bool(phases.policy_learns(step)) for step in range(num)]


def test_a_warm_up_then_weights_then_the_policy_again_and_again():
    phases = PolicyPhases(warm_up=3, weights=2, policy=1)
    assert learns(phases, 10) == [False] * 5 + [True] + [False] * 2 + [True, False]


def test_without_a_warm_up_cycles_begin_at_once():
    assert learns(PolicyPhases(weights=1, policy=2), 5) == [False, True, True, False, True]


def test_cycles_are_counted_after_the_warm_up():
    phases = PolicyPhases(warm_up=10, weights=3, policy=2)
    assert phases.cycle_length == 5
    assert [phases.start_of_cycle(cycle) for cycle in (0, 1, 4)] == [10, 15, 30]
    assert [float(phases.cycle(step)) for step in (0, 9, 10, 14, 15, 30)] == [0, 0, 0, 0, 1, 4]


@pytest.mark.parametrize("wrong", [{"warm_up": -1}, {"weights": 0}, {"policy": 0}])
def test_phases_are_numbers_of_batches(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be an integer of at least"):
        PolicyPhases(**wrong)


def test_the_temperature_falls_with_every_cycle_to_a_floor():
    schedule = CycleTemperature(PolicyPhases(5, 2, 2), initial=8.0, factor=0.5, minimum=1.0)
    found = [float(schedule(step)) for step in (0, 8, 9, 13, 17, 400)]
    assert found == [8.0, 8.0, 4.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize("wrong", [{"initial": 0}, {"minimum": 0}, {"factor": 0}, {"factor": 1.1}])
def test_a_temperature_is_above_0_and_does_not_rise(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a number"):
        CycleTemperature(PolicyPhases(), **wrong)


def test_both_survive_the_config_round_trip():
    schedule = CycleTemperature(PolicyPhases(5, 2, 3), 8.0, 0.5, 1.0)
    config = keras.saving.serialize_keras_object(schedule)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == schedule.get_config()
    assert float(copy(10)) == 4.0 and copy.phases.policy == 3
