"""IFEval's 25 kinds: for each a text that follows it and one that does not."""

from __future__ import annotations

import pytest

from plaudit.verifiers.instruction_kinds import KINDS
from plaudit.verifiers.instructions import instructions

SPANISH = "El perro corre por la calle y los gatos duermen en la casa de mi hermana."
ENGLISH = "the dog runs along the street and the cats are sleeping in my sister's house."

CASES = [
    ("keywords:existence", {"keywords": ["cat", "Dog"]}, "A dog and a cat", "A dog"),
    ("keywords:frequency", {"keyword": "tea", "frequency": 2, "relation": "at least"},
     "Tea, tea", "Tea"),
    ("keywords:forbidden_words", {"forbidden_words": ["rain"]}, "a train", "no rain"),
    ("keywords:letter_frequency", {"letter": "q", "let_frequency": 2, "let_relation": "less than"},
     "quick", "quite quick"),
    ("language:response_language", {"language": "es"}, SPANISH, ENGLISH),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "at least"},
     "One. Two! Is it three?", "Dr. Who said: one. Two"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"},
     "two words", "now three words"),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weather"},
     "One.\n\n'Weather, then.", "Weather.\n\nOne."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] of [town]", "[x]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP. S. more", "Bye. PS"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n - b", "* a\n* b\n* c"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2},
     "*one* and *two*", "*one* and * *"),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2},
     "Section 1\na\nSection 2\nb", "Section 1\na"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<Song of joy>>\nla", "<< >>\nla"),
    ("combination:two_responses", {}, "one\n******\ntwo", "one\n******\none"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. It.", "It. Say it."),
    ("startend:end_checker", {"end_phrase": "Any questions?"}, "Well. any questions?", "Well."),
    ("startend:quotation", {}, '"Well."', '"Well.'),
    ("change_case:capital_word_frequency",
     {"capital_frequency": 2, "capital_relation": "at least"}, "GO there NOW", "GO there"),
    ("change_case:english_capital", {}, ENGLISH.upper(), SPANISH.upper()),
    ("change_case:english_lowercase", {}, ENGLISH, ENGLISH.capitalize()),
    ("punctuation:no_comma", {}, "Well then", "Well, then"),
]  # fmt: skip


def test_every_kind_is_tried():
    assert {name for name, *_ in CASES} == set(KINDS) and len(KINDS) == 25


@pytest.mark.parametrize(("name", "given", "follows", "does_not"), CASES)
def test_kinds(name: str, given: dict, follows: str, does_not: str):
    row = {"instruction_id_list": [name], "kwargs": [{**given, "another": None}]}
    assert instructions(follows, row) == 1.0
    assert instructions(does_not, row) == 0.0
    assert instructions(" ", row) == 0.0


TWO = {
    "instruction_id_list": ["punctuation:no_comma", "detectable_format:title"],
    "kwargs": [{}, {}],
}


def test_all_or_a_share_is_followed():
    assert instructions("<<Well>>", TWO) == 1.0
    assert instructions("Well", TWO) == 0.0
    assert instructions("Well", TWO, partial=True) == 0.5


def test_loosely_a_first_or_last_line_may_be_left_out():
    one = {"instruction_id_list": ["startend:quotation"], "kwargs": [{}]}
    for text in ('Sure:\n"Well."', '"Well."\nDone.', 'Sure:\n"Well."\nDone.', '**"Well."**'):
        assert instructions(text, one) == 0.0
        assert instructions(text, one, loose=True) == 1.0
    assert instructions("Well.", one, loose=True) == 0.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "has no column instruction_id_list"),
        ({"instruction_id_list": ["punctuation:no_coma"], "kwargs": [{}]}, "did you mean"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}, "1 instructions but 0"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"n": 1}]}, "n"),
        ({"instruction_id_list": ["startend:end_checker"], "kwargs": [{}]}, "end_phrase"),
        ({"instruction_id_list": "x", "kwargs": "[]"}, "expected two lists"),
    ],
)
def test_rows_that_say_nothing_usable_have_no_verdict(row: dict, message: str):
    with pytest.raises(ValueError, match=message):
        instructions("Well", row)
