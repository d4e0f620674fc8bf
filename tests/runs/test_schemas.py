"""results.json and proof.json: typed, described by a schema, and damaged in every way there is."""

from __future__ import annotations

import copy
import functools
import json
import re
import sys
from pathlib import Path

import finished_run
import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.errors import LockstepError
from lockstep.proof import comparison
from lockstep.recipe import Recipe
from lockstep.runs import records
from lockstep.runs.typed import plain, typed
from lockstep.training import compare

pytestmark = pytest.mark.costly

DOCS = Path(__file__).parents[2] / "docs"
READ = {"results.json": records.load, "proof.json": comparison.load}
NAMES = sorted(READ)


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """A run that has everything a run can have: seeds, a tutorial's way, a proof with a NaN."""
    place = tmp_path_factory.mktemp("records") / "run"
    return finished_run.write(
        place, digits.test, {"numpy": {3: 0}, "torch": {5: 1}}, seeds=2,
        tutorials={"torch": "DataLoader"}, planted=("torch", 3, 0, np.nan),
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(digits, tmp_path_factory):
    """A run as `compare` leaves it."""
    recipe, out = Recipe(hidden=(8,), epochs=1), tmp_path_factory.mktemp("compared")
    run = compare.compare(recipe, ("numpy", "torch"), digits, out, "r", proof_steps=3)
    assert run.well
    return out / "r"


def content_of(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def small(folder):
    """The same files with one example of everything, so that it can be damaged everywhere."""
    results, proof = content_of(folder, "results.json"), content_of(folder, "proof.json")
    del results["backends"]["numpy"]
    torch = results["backends"]["torch"]
    for result in (torch, torch["as_tutorial"]):
        del result["repeats"], result["history"][1:]
    proof["proofs"] = proof["proofs"][1:]
    (found,) = proof["proofs"][0]["comparisons"]
    found["differences"], found["undecided"] = found["differences"][:3], found["undecided"][:3]
    return {"results.json": results, "proof.json": proof}


def refusal(tmp_path, name, content) -> str:
    """The sentence that is said of such a file."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(LockstepError) as raised:
        READ[name](file)
    sentence = str(raised.value)
    assert "\n" not in sentence and str(file) in sentence and sentence.endswith(".")
    return sentence


def places(values, path=()):
    """The path of every value in plain values; of a list the first entry stands for all."""
    items = values.items() if isinstance(values, dict) else enumerate(values[:1])
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def at(values, path):
    for key in path:
        values = values[key]
    return values


def named(path) -> str:
    """`backends.torch.history[0].seconds`."""
    words = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return words.removeprefix(".")


# --- As they are written --------------------------------------------------------------------------


def test_results_come_back_as_they_were(digits, folder):
    run = records.load(folder)
    assert (
        run.recipe == finished_run.RECIPE
        and run.backends["torch"].as_tutorial.tutorial == "DataLoader"
    )
    assert typed(json.loads(json.dumps(plain(run))), records.Results) == run
    assert plain(run) == content_of(folder, "results.json") | {
        "recipe": {**finished_run.RECIPE.to_dict(), "hidden": finished_run.RECIPE.hidden}
    }
    assert list(records.trainings(run.backends)) == ["numpy", "torch", "torch, DataLoader"]
    assert len(run.backends["torch"].runs) == 2 and len(run.backends["torch"].runs[0].runs) == 1


def test_proofs_come_back_with_what_follows_from_them(folder):
    found = comparison.load(folder / "proof.json")
    (synced,), (free,) = (proof.comparisons for proof in found.proofs)
    assert synced.undecided.dtype == bool and synced.undecided.sum() == 1
    assert np.isnan(free.differences[2, 0]) and np.isnan(free.differences).sum() == 1
    assert free.first == comparison.First(3, "logits", None) and not free.same
    assert [proof.same for proof in found.proofs] == [True, False]
    assert "(free) first differs at step 3 in logits, by NaN" in found.proofs[1].verdict


def test_a_bound_that_is_none_is_null_and_judges_nothing():
    bounds = comparison.tolerances(Recipe(), "free")
    loss = (["loss"], np.array([[3.0]]), np.array([False]), bounds)
    before = comparison.Comparison("torch", "1", "cpu", "torch", "free", *loss)
    after = typed(json.loads(json.dumps(plain(before))), comparison.Comparison)
    assert after.tolerances["loss"] is None and after.bounds.tolist() == [np.inf]
    assert after.same and not after.judged


def test_what_a_file_claims_of_itself_is_computed_anew(folder, tmp_path):
    content = content_of(folder, "proof.json")
    wrong = content["proofs"][1]
    wrong |= {"same": True, "verdict": "The same."}
    wrong["comparisons"][0] |= {"same": True, "first": None}
    (tmp_path / "proof.json").write_text(json.dumps(content), encoding="utf-8")
    proof = comparison.load(tmp_path / "proof.json").proofs[1]
    assert not proof.same and proof.verdict.startswith("Not the same")


# --- The schemas ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schemas():
    sys.path.insert(0, str(DOCS))
    import schemas

    sys.path.remove(str(DOCS))
    return schemas


@functools.cache
def validator(name):
    file = DOCS / "reference" / "schemas" / name.replace(".json", ".schema.json")
    schema = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schemas_are_what_the_records_say(schemas):
    assert {path.name for path in schemas.FOLDER.iterdir()} == set(schemas.FILES)
    for name, kind in schemas.FILES.items():
        kept = (schemas.FOLDER / name).read_text(encoding="utf-8")
        assert kept == schemas.schema(kind), "`python docs/schemas.py` renews it"
    assert '"description": "Rows' not in kept and '"description": "(steps, tensors): ' in kept


@pytest.mark.parametrize("name", NAMES)
def test_the_schemas_hold_for_what_a_comparison_writes(name, compared, folder):
    READ[name](compared / name)
    for place in (compared, folder):
        validator(name).validate(content_of(place, name))


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_in_the_schema(name, small):
    """Whatever is renamed, the schema does not know."""
    content, known = small[name], validator(name)
    free = ("sha256", "failures", "backends", "tolerances")  # names that a run chooses
    for path in places(content):
        if isinstance(path[-1], str) and (len(path) < 2 or path[-2] not in free):
            damaged = copy.deepcopy(content)
            holder = at(damaged, path[:-1])
            holder["renamed"] = holder.pop(path[-1])
            assert not known.is_valid(damaged), path


# --- Damaged --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_another_type_is_named(name, small, tmp_path):
    content = small[name]
    for path in places(content):
        value, field = at(content, path), [key for key in path if isinstance(key, str)][-1]
        for other in ("text", 1.5, True, None, [], {}):
            if isinstance(other, type(value)) or (other == 1.5 and isinstance(value, int)):
                continue
            damaged = copy.deepcopy(content)
            at(damaged, path[:-1])[path[-1]] = other
            if not validator(name).is_valid(damaged):
                sentence = refusal(tmp_path, name, damaged)
                assert field in sentence, sentence


@pytest.mark.parametrize("name", NAMES)
def test_a_field_that_is_absent_is_named(name, small, tmp_path):
    content = small[name]
    for path in places(content):
        damaged = copy.deepcopy(content)
        del at(damaged, path[:-1])[path[-1]]
        a_field = isinstance(path[-1], str) and path[:-1] != ("backends",)
        if a_field and not validator(name).is_valid(damaged):
            sentence = refusal(tmp_path, name, damaged)
            expected = "is of schema None" if path == ("schema",) else f"lacks {named(path)};"
            assert expected in sentence, sentence


@pytest.mark.parametrize("name", NAMES)
def test_a_field_that_is_unknown_is_named(name, small, tmp_path):
    content = small[name]
    for path in [(), *places(content)]:
        if not isinstance(at(content, path), dict) or path[-1:] == ("tolerances",):
            continue
        damaged = copy.deepcopy(content)
        at(damaged, path)["unheard_of"] = 1
        sentence = refusal(tmp_path, name, damaged)
        assert "unheard_of" in sentence, sentence


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("backends",), {}, "backends in {} is wrong: expected an object that is not empty; make"),
        (("backends", "torch", "history"), [], "backends.torch.history in {} is wrong: expected a"),
        (("backends", "torch", "test_accuracy"), "x", "expected a number, got text; make the run"),
        (("backends", "torch", "test_accuracy"), 97.8, "expected a number <= 1.0; make the run"),
        (("backends", "torch", "repeats", 1, "seed"), 1.5, "backends.torch.repeats[1].seed in {}"),
        (("backends", "torch", "batch_order_sha256"), "f00", "expected text matching regex"),
        (("backends", "torch", "recall"), [1.0], "the recall of torch is not told of each of 10"),
        (("backends", "torch", "confusion_matrix"), [[1]], "of torch is not 10 × 10; make the run"),
        (("backends", "torch", "repeats"), [], "torch in {} is wrong: as_tutorial has another num"),
        (("backends", "torch", "as_tutorial", "tutorial"), None, "does not say which tutorial"),
        (("dataset", "classes"), ["0"], "confusion_matrix of numpy is not 1 × 1"),
        (("recipe", "epochs"), 0, "{}: The recipe's epochs is 0; it must be a whole number at le"),
        (("recipe", "optimiser"), "sgd", "did you mean 'optimizer'"),
    ],
)
def test_what_readers_rely_on_is_checked(path, value, words, folder, tmp_path):
    content = content_of(folder, "results.json")
    at(content, path[:-1])[path[-1]] = value
    sentence = refusal(tmp_path, "results.json", content)
    assert words.format(tmp_path / "results.json") in sentence


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("differences", [[1.0], [1.0, 2.0]], "differences in {} is wrong: expected rows of one l"),
        ("differences", [["x"]], "differences in {} is wrong: expected a number or null, got text"),
        ("differences", [[0.0]], "differences is not a row for each step, a number for each"),
        ("differences", [], "differences in {} is wrong: expected rows of one length; make"),
        ("undecided", [0, 1], "undecided in {} is wrong: expected true or false, got a who"),
        ("tolerances", {"loss": 1.0}, "tolerances lacks 'logits'; make the run again, or remove"),
        ("tensors", [""], "is not a row for each step"),
        ("at", [1], "at has not one step for each row of differences; make the run again"),
        ("tensors", ["loss", "bias"] * 5, "{}: There is no kind of number 'bias'"),
    ],
)  # fmt: skip
def test_the_shapes_of_a_proof_are_checked(field, value, words, folder, tmp_path):
    content = content_of(folder, "proof.json")
    content["proofs"][0]["comparisons"][0][field] = value
    sentence = refusal(tmp_path, "proof.json", content)
    assert words.format(tmp_path / "proof.json") in sentence


@pytest.mark.parametrize("name", NAMES)
def test_another_schema_is_refused_whatever_else_is_there(name, folder, tmp_path):
    version = {"results.json": 4, "proof.json": 2}[name]
    words = f"this version reads {version}. Make the run again, or read it with the version that"
    for found in (version - 1, version + 1, None, "4", [["x"] * 1000]):
        sentence = refusal(tmp_path, name, {"schema": found, "shape": "another"})
        assert f"{name} is of schema {found!r:.40}; {words}" in sentence
    for content in ([], 3, None, {"proofs": [], "failed": None}):
        assert f"{name} is of schema None; {words}" in refusal(tmp_path, name, content)


@pytest.mark.parametrize(
    "content", [b"", b'{"schema": 4,', b"\xff\xfe\x00", b"[" * 100_000, b'{"schema": NaN}']
)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_json_is_refused(name, content, tmp_path):
    words = f"{name} is truncated or not JSON"
    assert words in refusal(tmp_path, name, content)


def test_a_number_without_end_is_refused(folder, tmp_path):
    text = (folder / "results.json").read_text("utf-8")
    damaged = re.sub(r'"train_seconds": [\d.]+', '"train_seconds": 1e999', text)
    sentence = refusal(tmp_path, "results.json", damaged.encode())
    assert "truncated or not JSON (Number out of range" in sentence


def test_a_file_that_is_absent_is_named(tmp_path):
    for name, read in READ.items():
        what = name.removesuffix(".json")
        with pytest.raises(LockstepError, match=f"Cannot read the {what} .*no such file"):
            read(tmp_path / name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_in_the_place_of_a_field_gets_one_sentence_or_is_read(
    name, data, folder, tmp_path_factory
):
    content = content_of(folder, name)
    path = data.draw(st.sampled_from(sorted(places(content), key=str)))
    at(content, path[:-1])[path[-1]] = data.draw(JSON)
    file = tmp_path_factory.mktemp("fuzz") / name
    file.write_text(json.dumps(content), encoding="utf-8")
    try:
        READ[name](file)
    except LockstepError as error:
        assert "\n" not in str(error) and str(file) in str(error)
