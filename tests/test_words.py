"""Do messages name options as one writes them where one is: flags in a shell, arguments in Python?"""

from __future__ import annotations

import pytest

import diffuscope
from diffuscope.diagnosis.budget import Budget
from diffuscope.diagnosis.findings import Finding
from diffuscope.errors import InputError
from diffuscope.words import in_python

SAID = {
    "Choose another --out, or use --resume.": "Choose another out=, or use resume=True.",
    "diffuscope train DATA --out DIR --resume.": "diffuscope.train(DATA, out=DIR, resume=True).",
    "Measure it: diffuscope evaluate runs/a.": 'Measure it: diffuscope.evaluate("runs/a").',
    "Train one: diffuscope train s_curve.": 'Train one: diffuscope.train("s_curve").',
    "(diffuscope sample RUN --sampler NAME), or": "(run.sample(n, sampler=NAME)), or",
    "a cosine schedule (--schedule cosine), or": 'a cosine schedule (schedule="cosine"), or',
    "(--sampler ddim --steps 20)": '(sampler="ddim", steps=20)',
    "(--set network.width=64 --set network.depth=3)": (
        '(settings={"network.width": 64, "network.depth": 3})'
    ),
    "(--zero-terminal-snr --set denoiser.prediction=velocity)": (
        '(zero_terminal_snr=True, settings={"denoiser.prediction": "velocity"})'
    ),
    "if for weeks: --types 'zip code=category'": 'if for weeks: types={"zip code": "category"}',
    "Give --held-out, or set training.hold_out.": "Give held_out=, or set training.hold_out.",
    "give --held-out FILE to detect copies": "give held_out=FILE to detect copies",
    "if not: --date-format %d/%m/%Y": 'if not: date_format="%d/%m/%Y"',
    "List all: diffuscope list settings.": "List all: diffuscope list settings.",
    "α--β, x - y and a -- b stay": "α--β, x - y and a -- b stay",
}


@pytest.mark.parametrize("text", SAID)
def test_a_message_is_said_in_the_words_of_python(text):
    assert in_python(text) == SAID[text]


def test_an_error_names_arguments_in_python_and_flags_on_the_command_line(run_dir, cli, tiny_words):
    with pytest.raises(InputError) as error:
        diffuscope.train("s_curve", out=run_dir, pictures=False)
    assert "overwrite=True" in str(error.value)
    assert "--" not in str(error.value)
    code, _, said = cli("train", "s_curve", "--out", run_dir, *tiny_words)
    assert code == 2
    assert "--overwrite" in said
    assert "overwrite=" not in said


def test_a_diagnosis_names_settings_in_python_and_flags_on_the_command_line():
    fault = Finding("few_steps", "Too few steps", "It was measured.", 0.5, "Take more steps (--steps 4000).")
    found = diffuscope.Diagnosis(Budget(()), (fault,), None, (), None, "")
    assert "(steps=4000)" in str(found)
    assert "(--steps 4000)" in found.text()
    assert "<code>steps=4000</code>" in found._repr_html_()
    assert "<code>--steps 4000</code>" in found._html("A page")
