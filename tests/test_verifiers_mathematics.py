"""Mathematical answers: what is equal in value, however written, and what only looks alike."""

from __future__ import annotations

import logging

import pytest

from plaudit.verifiers.mathematics import concluded, math
from plaudit.verifiers.number_words import in_digits

EQUAL = [
    ('42', 'The answer is \\boxed{42}'),
    ('$\\frac{1}{2}$', '0.5'),
    ('0.5', 'the answer is one half'),
    ('25', 'twenty-five'),
    ('25', 'The answer is twenty-five.'),
    ('1,000', '1000'),
    ('12', '12 apples'),
    ('5', '$5'),
    ('5 cm', '5 cm'),
    ('5', '5 cm'),
    ('50%', '0.5'),
    ('0.5', '50%'),
    ('1 1/2', '1.5'),
    ('1.5', '$1\\frac{1}{2}$'),
    ('x=5', '5'),
    ('5', 'x = 5'),
    ('$\\{1,2\\}$', '$\\{2,1\\}$'),
    ('\\{1,2\\}', '{2, 1}'),
    ('[1,2)', '$[1,2)$'),
    ('[1,2)', '\\boxed{[1,2)}'),
    ('$\\sqrt{8}$', '$2\\sqrt{2}$'),
    ('2*sqrt(2)', '$2\\sqrt2$'),
    ('2\\sqrt{2}', '2*sqrt(2)'),
    ('90', '90°'),
    ('-3', '−3'),
    ('3/4', 'The final answer is $\\frac34$.'),
    ('\\frac{3}{4}', '3/4'),
    ('A', 'The answer is (A)'),
    ('1e3', '1000'),
    ('1000', '1e3'),
    ('0.00012', '1.2e-4'),
    ('1000', 'It is 1e3.'),
    ('1000', 'We had 2, and it is 1e3'),
    ('-0.00012', 'I get -1.2e-4 metres.'),
    ('30000', 'That makes 3 × 10^4.'),
    ('x^2', 'The area is x².'),
    ('$\\pi$', '3.14159265'),
    ('pi/2', '$\\frac{\\pi}{2}$'),
    ('$x^2+2x+1$', '$(x+1)^2$'),
    ('\\text{Monday}', 'Monday'),
    ('Monday', 'The answer is Monday.'),
    ('yes', 'Yes'),
    ('7', 'seven'),
    ('1500000', '1.5 million'),
    ('$10^{-3}$', '0.001'),
    ('2 hours', '2'),
    ('$3+4i$', '$4i+3$'),
    ('\\begin{pmatrix}1\\\\2\\end{pmatrix}', '$\\begin{bmatrix}1\\\\2\\end{bmatrix}$'),
    ('18', '#### 18'),
    ('¾', '3/4'),
    ('x^2', 'x²'),
    ('$x>3$', '$3<x$'),
    ('\\infty', '∞'),
    ('12.50', '$12.50'),
    ('12', '\\boxed{12\\text{ cm}}'),
    ('27', '3^3'),
    ('1/3', '1/3'),
    ('½', '0.5'),
    ('2½', '2.5'),
    ('-1/2', 'minus one half'),
    ('(3, 4)', '$(3,4)$'),
    ('9', 'First 3 + 4 = 7, then 7 + 2 = 9. The answer is 9.'),
    ('9', 'So we get 9'),
    ('1/2', '\\boxed{\\dfrac12}'),
    ('x^2+2x+1', 'x**2 + 2*x + 1'),
    ('2^{10}', '1024'),
    ('40', 'The answer is: **40**'),
    ('72', 'She sold 48/2=24 in May. Altogether 48+24 = 72 clips. #### 72'),
    ('$\\log 2$', 'log(2)'),
    ('10\\sqrt{3}', '10√3'),
    ('3', 'There are 3 dogs.'),
    ('17.0', '17'),
    ('1:2', '1:2'),
    ('no solution', '\\boxed{\\text{no solution}}'),
    ('105', 'one hundred and five'),
    ('$-\\frac{3}{2}$', '-1.5'),
    ('\\frac{\\sqrt{3}}{3}', '\\frac{1}{\\sqrt{3}}'),
    ('(-\\infty, 3]', 'x \\le 3'),
    ('5!', '120'),
    ('6.02e23', '6.02 \\times 10^{23}'),
    ('70', '70 dollars'),
    ('\\$70', '$70'),
    ('3,4', '4 and 3'),
    ('$\\frac{14}{3}$', 'We have $x = \\frac{14}{3}$.'),
    ('14/3', 'so x = 14/3, and we are done'),
    ('5', 'The answer is:\n\n$5$'),
    ('5', 'the result is 5 metres per second'),
    ('\\frac{1}{2}', '$$\\boxed{\\frac{1}{2}}$$'),
    ('4', '**Answer:** 4'),
    ('2\\sqrt{2}', 'The length is $2\\sqrt{2}$ metres'),
    ('11', 'x=11.\n\nTherefore, the answer is $\\boxed{11}$.'),
    ('6', '6.'),
]  # fmt: skip
DIFFERENT = [
    ('42', '43'),
    ('1/2', '0.55'),
    ('25', 'twenty-six'),
    ('5', '50'),
    ('0.5', '5%'),
    ('A', 'The answer is (B)'),
    ('Monday', 'Tuesday'),
    ('[1,2)', '(1,2)'),
    ('[1,2)', '[1,2]'),
    ('$x^2$', '$x^3$'),
    ('9', 'The answer is 19'),
    ('9', '9 is not right; the answer is 8'),
    ('3', 'The answer is three hundred'),
    ('yes', 'no'),
    ('7', ''),
    ('7', 'I do not know'),
    ('3.14', '3.15'),
    ('\\frac{3}{4}', '4/3'),
    ('1 1/2', '1'),
    ('1 1/2', '11/2'),
    ('-3', '3'),
    ('1000', '1e4'),
    ('1000', 'It is 1e4.'),
    ('2', 'The area is x².'),
    ('(3,4)', '(4,3)'),
    ('12', '1, 2'),
    ('x=5', 'x=6'),
    ('2\\sqrt{2}', '2\\sqrt{3}'),
    ('100', '\\boxed{10}'),
    ('no solution', 'all solutions'),
    ('6', 'The answer is 5. The 6 is wrong'),
    ('2', '\\boxed{1}\\boxed{3}'),
    ('10', 'ten thousand'),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _without_notices_of_timeouts():
    """math-verify warns that its own timeout is off; workers have deadlines instead."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("expected", "response"), EQUAL)
def test_equal_answers(expected: str, response: str):
    assert math(response, {"answer": expected}) == 1.0


@pytest.mark.parametrize(("expected", "response"), DIFFERENT)
def test_different_answers(expected: str, response: str):
    assert math(response, {"answer": expected}) == 0.0


def test_any_of_several_answers_is_right_and_numbers_may_be_near():
    assert math("5", {"answer": ["4", "5"]}) == 1.0
    assert math("6", {"answer": ["4", "5"]}) == 0.0
    assert math("0.33", {"answer": "1/3"}) == 0.0
    assert math("0.33", {"answer": "1/3"}, relative_tolerance=0.02) == 1.0
    assert math("0.32", {"answer": "1/3"}, relative_tolerance=0.02) == 0.0


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("twenty-five", "25"),
        ("one hundred and five", "105"),
        ("two thirds", "2/3"),
        ("two and a half", "5/2"),
        ("minus three", "-3"),
        ("one million two hundred thousand", "1200000"),
        ("1.5 million", "1500000"),
        ("three point one four", "157/50"),
        ("I have two cats", "I have 2 cats"),
        ("five six", "five six"),
        ("the third man", "the third man"),
        ("tone deaf", "tone deaf"),
    ],
)
def test_numbers_in_words(text: str, digits: str):
    assert in_digits(text) == digits


@pytest.mark.parametrize(
    ("response", "end"),
    [
        (r"first \boxed{1}, then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("The answer is 5. The 6 is wrong.", "5"),
        ("a #### 7", "7"),
        ("Answer: 3", "3"),
        ("just 8", "just 8"),
        (r"\boxed{never closed", r"\boxed{never closed"),
    ],
)
def test_the_end_of_a_response(response: str, end: str):
    assert concluded(response) == end
