"""The kinds of instructions of IFEval, each a question to a text: followed or not.

Names and arguments are IFEval's, so that its data can be read as it is. Where IFEval takes words
and sentences from NLTK, words here are runs of word characters, and sentences end at a full stop,
question or exclamation mark that is not an abbreviation's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|etc|e\.g|i\.e|No|Inc|Ltd|Co|[A-Z])\.(?=\s)"
)
_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s|$)")


def _relates(count: int, relation: str, wanted: int) -> bool:
    if relation not in ("at least", "less than"):
        raise ValueError(f"relation {relation!r}: expected 'at least' or 'less than'")
    return count >= wanted if relation == "at least" else count < wanted


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _has_keywords(text: str, keywords: Sequence[str]) -> bool:
    return all(re.search(word, text, re.IGNORECASE) for word in keywords)


def _has_keyword_often(text: str, keyword: str, frequency: int, relation: str) -> bool:
    return _relates(len(re.findall(keyword, text, re.IGNORECASE)), relation, frequency)


def _avoids_words(text: str, forbidden_words: Sequence[str]) -> bool:
    return not any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in forbidden_words)


def _has_letter_often(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _relates(text.lower().count(letter.lower()), let_relation, let_frequency)


def _is_in_language(text: str, language: str) -> bool:
    return _language(text) == language


def _counts_sentences(text: str, num_sentences: int, relation: str) -> bool:
    plain = _ABBREVIATION.sub(lambda found: found[0][:-1], text)
    parts = [part for part in _SENTENCE_END.split(plain) if part.strip()]
    return _relates(len(parts), relation, num_sentences)


def _counts_paragraphs(text: str, num_paragraphs: int) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", text)]
    inner = parts[1 if not parts[0] else 0 : -1 if not parts[-1] else None]
    return all(inner) and len(inner) == num_paragraphs


def _counts_words(text: str, num_words: int, relation: str) -> bool:
    return _relates(len(_words(text)), relation, num_words)


def _begins_paragraph(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    paragraphs = [part.strip() for part in re.split(r"\n\n", text) if part.strip()]
    if len(paragraphs) != num_paragraphs or nth_paragraph > num_paragraphs:
        return False
    first = paragraphs[nth_paragraph - 1].split()[0].lstrip("'\"")
    return re.split(r"[.,?!'\"]", first)[0].lower() == first_word.lower()


def _has_placeholders(text: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[.*?\]", text)) >= num_placeholders


def _has_postscript(text: str, postscript_marker: str) -> bool:
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    marker = known.get(postscript_marker, re.escape(postscript_marker.lower()))
    return re.search(rf"\s*{marker}.*$", text.lower(), re.MULTILINE) is not None


def _counts_bullets(text: str, num_bullets: int) -> bool:
    stars = re.findall(r"^\s*\*[^*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def _is_constrained(text: str) -> bool:
    return any(f"My answer is {answer}." in text for answer in ("yes", "no", "maybe"))


def _has_highlights(text: str, num_highlights: int) -> bool:
    once = [part for part in re.findall(r"\*([^\n*]*)\*", text) if part.strip()]
    twice = [part for part in re.findall(r"\*\*([^\n*]*)\*\*", text) if part.strip()]
    return len(once) + len(twice) >= num_highlights


def _has_sections(text: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.split(rf"\s?{section_spliter}\s?\d+\s?", text)) - 1 >= num_sections


def _is_json(text: str) -> bool:
    bare = re.sub(r"^```(?:json)?|```$", "", text.strip(), flags=re.IGNORECASE).strip()
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def _has_title(text: str) -> bool:
    return any(part.strip("<> ") for part in re.findall(r"<<[^\n]+>>", text))


def _is_two_responses(text: str) -> bool:
    parts = [part.strip() for part in text.split("******")]
    inner = parts[1 if not parts[0] else 0 : -1 if not parts[-1] else None]
    return all(inner) and len(inner) == 2 and inner[0] != inner[1]


def _repeats_prompt(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _ends_with(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _is_quoted(text: str) -> bool:
    bare = text.strip()
    return len(bare) > 1 and bare[0] == bare[-1] == '"'


def _counts_capital_words(text: str, capital_frequency: int, capital_relation: str) -> bool:
    capital = [word for word in _words(text) if word.isupper()]
    return _relates(len(capital), capital_relation, capital_frequency)


def _is_english_in_capitals(text: str) -> bool:
    return text.isupper() and _language(text.lower()) == "en"


def _is_english_in_small_letters(text: str) -> bool:
    return text.islower() and _language(text) == "en"


def _has_no_comma(text: str) -> bool:
    return "," not in text


def _language(text: str) -> str:
    """The ISO code of the language.

    Raises:
        ValueError: langdetect is not installed.
    """
    try:
        from langdetect import DetectorFactory, LangDetectException, detect
    except ImportError as error:
        raise ValueError(
            "instructions about languages need langdetect: pip install 'plaudit[tasks]'"
        ) from error
    DetectorFactory.seed = 0  # it draws random numbers
    try:
        return detect(text)
    except LangDetectException:  # a text without letters
        return ""


KINDS: Mapping[str, Callable[..., bool]] = {
    "keywords:existence": _has_keywords,
    "keywords:frequency": _has_keyword_often,
    "keywords:forbidden_words": _avoids_words,
    "keywords:letter_frequency": _has_letter_often,
    "language:response_language": _is_in_language,
    "length_constraints:number_sentences": _counts_sentences,
    "length_constraints:number_paragraphs": _counts_paragraphs,
    "length_constraints:number_words": _counts_words,
    "length_constraints:nth_paragraph_first_word": _begins_paragraph,
    "detectable_content:number_placeholders": _has_placeholders,
    "detectable_content:postscript": _has_postscript,
    "detectable_format:number_bullet_lists": _counts_bullets,
    "detectable_format:constrained_response": _is_constrained,
    "detectable_format:number_highlighted_sections": _has_highlights,
    "detectable_format:multiple_sections": _has_sections,
    "detectable_format:json_format": _is_json,
    "detectable_format:title": _has_title,
    "combination:two_responses": _is_two_responses,
    "combination:repeat_prompt": _repeats_prompt,
    "startend:end_checker": _ends_with,
    "startend:quotation": _is_quoted,
    "change_case:capital_word_frequency": _counts_capital_words,
    "change_case:english_capital": _is_english_in_capitals,
    "change_case:english_lowercase": _is_english_in_small_letters,
    "punctuation:no_comma": _has_no_comma,
}
