"""What callbacks remember between fit-epochs, as JSON, so that a resumed run remembers it too.

A callback takes part by two methods: `get_state()` gives a JSON-able dict, `set_state(state)`
takes it back. Three more are optional: `check_state(state)` lists what is wrong with the files that
a state names, `without_damaged(state)` gives the state without these files, and `release(states)`
removes the files that none of the given states names.
"""

import keras

# Keras's own callbacks have no such methods: the attributes that they carry from epoch to epoch.
_ATTRIBUTES = {
    keras.callbacks.EarlyStopping: ("best", "best_epoch", "wait", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
}


def check_callbacks(callbacks):
    """Raises where the state of one of the callbacks cannot be kept.

    Raises:
        TypeError: a callback with neither `get_state` and `set_state` nor known attributes.
        ValueError: an `EarlyStopping` that holds the best weights in memory.
    """
    for callback in callbacks:
        if not hasattr(callback, "get_state") and not _attributes(callback):
            raise TypeError(
                f"the state of {type(callback).__name__} cannot be kept: "
                "it needs the methods get_state() and set_state(state)"
            )
        if getattr(callback, "restore_best_weights", False):
            raise ValueError(
                "EarlyStopping(restore_best_weights=True) holds weights that a resumed run would "
                "lose; use training.BestCheckpoint for them"
            )


def callback_states(callbacks):
    """{key: JSON-able state}; the key is the class and its count among the callbacks."""
    states = {}
    for key, callback in _keyed(callbacks):
        if hasattr(callback, "get_state"):
            states[key] = callback.get_state()
        else:
            names = _attributes(callback)
            states[key] = {name: _plain(getattr(callback, name)) for name in names}
    return states


def set_callback_states(callbacks, states):
    """Gives every callback its state back; one that has none among `states` starts anew."""
    for key, callback in _keyed(callbacks):
        if key not in states:
            continue
        if hasattr(callback, "set_state"):
            callback.set_state(states[key])
        else:
            for name in _attributes(callback):
                setattr(callback, name, states[key][name])


def callback_state_problems(callbacks, states):
    """What is wrong with the files that the states name, as a list of sentences."""
    problems = []
    for key, callback in _keyed(callbacks):
        if key in states and hasattr(callback, "check_state"):
            problems += callback.check_state(states[key])
    return problems


def without_damaged(callbacks, states):
    """The states without the damaged files that they name, of callbacks that can do without."""
    kept = dict(states)
    for key, callback in _keyed(callbacks):
        if key in states and hasattr(callback, "without_damaged"):
            kept[key] = callback.without_damaged(states[key])
    return kept


def release_files(callbacks, kept_states):
    """Lets callbacks remove the files that no kept checkpoint names."""
    for key, callback in _keyed(callbacks):
        if hasattr(callback, "release"):
            callback.release([states[key] for states in kept_states if key in states])


def _keyed(callbacks):
    counts = {}
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, 0) + 1
        yield (name if counts[name] == 1 else f"{name}-{counts[name]}"), callback


def _attributes(callback):
    for kind, names in _ATTRIBUTES.items():
        if isinstance(callback, kind):
            return names
    return ()


def _plain(value):
    """NumPy scalars as Python numbers."""
    return value.item() if hasattr(value, "item") else value
