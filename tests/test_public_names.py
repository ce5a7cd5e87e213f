"""The public names: those that were promised, each where a reader looks for it, documented, and light to import."""

import inspect
import subprocess
import sys

import pytest

import softmaxes

# What may be loaded by `import softmaxes` besides the standard library.
LIGHT = {"softmaxes", "numpy", "array_api_compat"}


def test_names_are_listed_once():
    assert len(set(softmaxes.__all__)) == len(softmaxes.__all__)
    assert set(softmaxes.__all__) <= set(dir(softmaxes))


def test_unknown_names_say_so():
    with pytest.raises(AttributeError, match="no attribute 'sotfmax'"):
        _ = softmaxes.sotfmax


@pytest.mark.parametrize("name", [n for n in softmaxes.__all__ if n != "__version__"])
def test_a_public_name_is_there_and_documented(name):
    thing = getattr(softmaxes, name)
    assert inspect.getdoc(thing), f"softmaxes.{name} has no docstring"
    if inspect.isfunction(thing) or inspect.isclass(thing):
        assert thing.__module__.startswith("softmaxes."), f"{name} comes from {thing.__module__}"
        assert thing.__name__ == name
        assert ">>>" in inspect.getsource(sys.modules[thing.__module__]), f"the room of {name} shows no example"


def test_importing_is_light():
    script = (
        "import sys; before = set(sys.modules); import softmaxes; softmaxes.softmax([1.0, 2.0]);"
        "print(*{m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert set(found) <= LIGHT, f"importing softmaxes loads {set(found) - LIGHT}"


def test_the_package_is_typed():
    from importlib.resources import files

    assert files("softmaxes").joinpath("py.typed").is_file()
